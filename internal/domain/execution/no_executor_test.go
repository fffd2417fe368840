package execution

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An execution whose start deadline has passed says whether an executor could have taken it.
func TestQueueTimeoutWithoutExecutor(t *testing.T) {
	for name, c := range map[string]struct {
		runtime  string
		runtimes []string
		code     Code
		status   Status
	}{
		"offered":            {"offline", []string{"claude", "offline"}, CodeQueueTimeout, TimedOut},
		"not known":          {"offline", nil, CodeQueueTimeout, TimedOut},
		"not offered":        {"offline", []string{"claude"}, CodeNoExecutor, Failed},
		"no executor":        {"offline", []string{}, CodeNoExecutor, Failed},
		"any, no executor":   {"", []string{}, CodeNoExecutor, Failed},
		"any of those there": {"", []string{"claude"}, CodeQueueTimeout, TimedOut},
	} {
		e := queued()
		e.Task.Runtime = c.runtime
		waits := c.code == CodeNoExecutor
		require.Equal(t, waits, e.WaitsForExecutor(c.runtimes), name)
		err := e.Apply(Claimed{Executor: "x1", Runtimes: c.runtimes}, start)
		if waits {
			require.ErrorIs(t, err, ErrRuntimeUnavailable, name)
		} else {
			require.NoError(t, err, name)
			require.False(t, e.WaitsForExecutor([]string{}), "it runs")
			e = queued()
			e.Task.Runtime = c.runtime
		}
		require.NoError(t, e.Apply(Overdue{Runtimes: c.runtimes}, *e.Due), name)
		require.Equal(t, Queued, e.Status, "it waits until its start deadline")
		require.NoError(t, e.Apply(Overdue{Runtimes: c.runtimes}, e.StartDeadline()), name)
		require.Equal(t, c.status, e.Status, name)
		require.Equal(t, c.code, e.Failure.Code, name)
	}

	e := running(queued())
	require.NoError(t, e.Apply(HandedBack{Session: session, Attempt: 1}, start.Add(time.Second)))
	require.True(t, e.WaitsForExecutor([]string{}))
}
