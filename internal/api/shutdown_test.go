package api

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/store"
)

// A load balancer sees that the server is not ready while it still answers requests.
func TestNotReadyDuringDrain(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *Config, _ *store.Store) { c.DrainDelay = 3 * time.Second }) // longer than the two requests below take on a busy machine
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.url = "http://" + l.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.Serve(ctx, l, time.Second) }()
	require.Eventually(t, func() bool { return s.do(http.MethodGet, "/readyz", "").StatusCode == http.StatusOK }, 10*time.Second, 5*time.Millisecond)

	stop()
	require.Eventually(t, s.stopping.Load, 10*time.Second, time.Millisecond)
	ready := call[contract.Readiness](s, "GET /readyz", http.StatusServiceUnavailable, "")
	require.False(t, ready.Ready)
	require.Equal(t, "api", ready.Checks[len(ready.Checks)-1].Name)
	call[contract.Health](s, "GET /healthz", http.StatusOK, "")
	require.Empty(t, stopped)
	require.NoError(t, <-stopped)
}
