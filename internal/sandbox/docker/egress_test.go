package docker

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/supervise"
)

// gateway is an HTTP server with the methods of sandbox.Egress.
type gateway struct{ *http.Server }

func (gateway) Busy() bool             { return false }
func (gateway) Waited() time.Duration  { return 0 }
func (gateway) MaxWait() time.Duration { return 0 }

func newGateway(handler http.HandlerFunc) gateway {
	return gateway{&http.Server{Handler: handler}}
}

func (g gateway) Serve(l net.Listener) error {
	if err := g.Server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func echoBody(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

func TestEgressPassesLargeBodiesUnchanged(t *testing.T) {
	d := newDriver(t, Config{})
	request := make([]byte, 1<<20)
	_, _ = rand.Read(request)
	response := make([]byte, 1<<20)
	_, _ = rand.Read(response)
	received := make(chan []byte, 1)

	job := probe("post", sandbox.EgressURL+"/v1/messages")
	job.Stdin = request
	job.Egress = newGateway(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- body
		_, _ = w.Write(response)
	})
	out := run(t, d, job)

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Zero(t, out.ExitCode, "%s", out.Stderr)
	require.True(t, bytes.Equal(request, <-received), "request body arrived unchanged")
	require.True(t, bytes.Equal(response, out.Stdout), "response arrived unchanged")
}

type panickingEgress struct{ noEgress }

func (panickingEgress) Serve(net.Listener) error { panic("a bug") }

func TestEgressPanicEndsEgressOnly(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	err = serveAndClose(panickingEgress{}, listener)
	var panicked *supervise.PanicError
	require.ErrorAs(t, err, &panicked)
	require.Equal(t, "a bug", panicked.Value)
	_, err = listener.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}
