package e2e

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// The Engine already has a container with the name that the executor requests.
// Names are random, so an earlier request made it and its response was lost. The
// job gets a container with another name, and the first container is removed.
func TestFaultContainerNameConflict(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	engine := &duplicatingTransport{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.engineProxy.Addr())
	}}}
	x := l.startExecutor("DOCKER_HOST=unix://" + engine.listen(t, l.socketDir))
	accepted := l.submit("one two")
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	require.EqualValues(t, http.StatusConflict, engine.secondStatus.Load())
	require.Equal(t, 2, e.Attempt)
	l.requireHistoryHolds(x)
}

// duplicatingTransport sends the first request for the container of a job to the Engine twice.
type duplicatingTransport struct {
	*http.Transport
	secondStatus atomic.Int64 // of the second response
}

func (r *duplicatingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Path, "/containers/create") {
		return r.Transport.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	ofJob := bytes.Contains(body, []byte(`"airlock.execution":"exe_`))
	if !ofJob || !r.secondStatus.CompareAndSwap(0, -1) {
		return r.Transport.RoundTrip(req)
	}
	created, err := r.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := created.Body.Close(); err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	second, err := r.Transport.RoundTrip(req)
	if err == nil {
		r.secondStatus.Store(int64(second.StatusCode))
	}
	return second, err
}

// listen starts a proxy before the Engine, on a socket in the folder, until the test ends.
func (r *duplicatingTransport) listen(t *testing.T, folder string) (socket string) {
	t.Helper()
	socket = filepath.Join(folder, "duplicating.sock")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Transport:     r,
		FlushInterval: -1,
		Rewrite:       func(p *httputil.ProxyRequest) { p.Out.URL.Scheme, p.Out.URL.Host = "http", "engine" },
	}}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
		r.CloseIdleConnections()
	})
	return socket
}
