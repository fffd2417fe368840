package gateway_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// BenchmarkCall measures a request of the CLI's size (54 KB) with a short streamed response: directly to the
// stand-in, and through the gateway.
func BenchmarkCall(b *testing.B) {
	upstream := modelstub.Start(modelstub.Always(modelstub.Text("hi")))
	defer upstream.Close()
	body := requestBody(map[string]any{"system": strings.Repeat("x", 54_000)})
	b.Run("direct", func(b *testing.B) {
		call(b, http.DefaultClient, upstream.URL().String()+target, body)
		http.DefaultClient.CloseIdleConnections()
	})
	b.Run("gateway", func(b *testing.B) {
		g, err := gateway.New(gateway.Config{Upstream: upstream.URL(), APIKey: key})
		require.NoError(b, err)
		defer g.Close()
		socket := filepath.Join(b.TempDir(), "egress.sock")
		listener, err := net.Listen("unix", socket)
		require.NoError(b, err)
		s := g.OpenEndpoint(context.Background(), "exe_1", policy)
		served := make(chan error, 1)
		go func() { served <- s.Serve(listener) }()
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}
		call(b, &http.Client{Transport: transport}, "http://sandbox"+target, body)
		transport.CloseIdleConnections()
		require.NoError(b, s.Close())
		require.NoError(b, <-served)
	})
}

func call(b *testing.B, client *http.Client, url, body string) {
	b.Helper()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		got, err := client.Post(url, "application/json", strings.NewReader(body))
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, got.Body)
		require.NoError(b, err)
		require.NoError(b, got.Body.Close())
		require.Equal(b, http.StatusOK, got.StatusCode)
	}
}
