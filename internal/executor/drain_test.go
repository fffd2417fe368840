package executor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// A draining executor finishes its jobs and takes no more. It says so, and takes executions again when it may.
func TestDrainingExecutorTakesNoMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	sb := &countingSandbox{release: make(chan struct{}), started: make(chan struct{}, 10)}
	x := f.newExecutor(testConfig(), f.store, f.queue, sb)
	f.start(x)
	first := f.submit("offline", "x")
	<-sb.started
	require.Equal(t, State{Busy: 1, Pulling: true, UnavailableRuntimes: map[string]string{}}, x.State())

	x.SetDraining(true)
	require.Eventually(t, func() bool { return !x.State().Pulling }, waitTimeout, pollInterval)
	require.Eventually(t, func() bool {
		s := x.State()
		return s.Draining && s.Busy == 1 && s.Reason == errDraining.Error()
	}, waitTimeout, pollInterval)
	second := f.submit("offline", "y")
	sb.release <- struct{}{}
	f.await(first, execution.Succeeded)
	require.Eventually(t, func() bool { return x.State().Busy == 0 }, waitTimeout, pollInterval)
	require.Empty(t, sb.started)
	require.Equal(t, execution.Queued, f.stored(second).Status)

	x.SetDraining(false)
	<-sb.started
	sb.release <- struct{}{}
	f.await(second, execution.Succeeded)
	select {
	case <-x.StateChanged():
	default:
		require.Fail(t, "nobody was told")
	}
}
