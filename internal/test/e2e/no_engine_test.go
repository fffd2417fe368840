package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
)

// Without an Engine everything is accepted, nothing is tried in vain, and all
// of it runs once an Engine is there.
func TestEngineStartsLater(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	startEngine := delayedEngine(t, socket, "/var/run/docker.sock")
	a := start(t, func(d *dev.Config) { d.Executor.DockerHost = "unix://" + socket })
	agent := a.createAgent(offlineAgent)
	accepted := a.runAgent(agent.Id, "one two three four")
	var e contract.Execution
	a.call(http.MethodGet, accepted.Urls.Self+"?wait=1s", http.StatusOK, nil, &e)
	require.Equal(t, contract.StatusQueued, e.Status)
	require.Zero(t, e.Attempt, "an attempt was spent with no Engine to run it on")

	startEngine()
	e = a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	require.Equal(t, 1, e.Attempt)
}

// later returns what makes the real Engine reachable at another path. It is
// until everything that was started after this call has been cleaned up.
func delayedEngine(t *testing.T, path, engine string) (start func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		serving.Wait()
	})
	return func() {
		l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
		require.NoError(t, err)
		context.AfterFunc(ctx, func() { _ = l.Close() })
		serving.Go(func() {
			for {
				front, err := l.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { proxyConn(ctx, front, engine) })
			}
		})
	}
}

func proxyConn(ctx context.Context, client net.Conn, engine string) {
	defer client.Close()
	upstream, err := new(net.Dialer).DialContext(ctx, "unix", engine)
	if err != nil {
		return
	}
	defer upstream.Close()
	defer context.AfterFunc(ctx, func() { _ = client.Close(); _ = upstream.Close() })()
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	both.Go(func() { pass(upstream, client) })
	both.Go(func() { pass(client, upstream) })
	both.Wait()
}
