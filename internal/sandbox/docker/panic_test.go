package docker

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/supervise"
)

type panickingEgress struct{}

func (panickingEgress) Serve(net.Listener) error { panic("on purpose") }
func (panickingEgress) Close() error             { return nil }

// A panic in a goroutine of one container does not end the process, which runs the jobs of others.
func TestPanicStaysWithItsContainer(t *testing.T) {
	c := &sandboxContainer{socketDir: t.TempDir()}
	require.NoError(t, c.serveEgress(t.Context(), panickingEgress{}))
	require.ErrorAs(t, <-c.egressDone, new(*supervise.PanicError))

	core, logs := observer.New(zap.ErrorLevel)
	d := &Driver{log: zap.New(core)}
	d.inBackground(func() { panic("on purpose") })
	d.background.Wait()
	require.Equal(t, 1, logs.Len())
	require.Contains(t, logs.All()[0].ContextMap()["error"], "TestPanicStaysWithItsContainer")
}
