package execution

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each executor counts once, and the earlier state of the execution does not change.
func TestStartFailuresCountExecutorsOnce(t *testing.T) {
	e := queued()
	now := start
	startFails := func(executor, reason string) {
		t.Helper()
		now = now.Add(time.Minute)
		require.NoError(t, e.Apply(Claimed{Executor: executor, Session: session}, now))
		before := e
		kept := before.StartFailures.copy()
		require.NoError(t, e.Apply(StartFailed{Session: session, Attempt: e.Attempt, Usage: Usage{Calls: 1}, Reason: reason, ImageFailed: true}, now))
		require.Equal(t, kept, before.StartFailures)
	}
	startFails("x1", "first")
	startFails("x2", "second")
	for range 4 {
		startFails("x1", "third")
	}
	require.Equal(t, Queued, e.Status)
	require.Equal(t, &StartFailures{Count: 6, Executors: []string{"x1", "x2"}, LastReason: "third"}, e.StartFailures)
	require.Zero(t, e.FailedAttempts)
	require.EqualValues(t, 6, e.Usage.Calls)
	startFails("x3", "the image is missing")
	require.Equal(t, CodeNoExecutor, e.Failure.Code)
	require.Contains(t, e.Failure.Message, "in 7 attempts. The last reason: the image is missing.")
}

// Three executors may share one Engine that fails now and then. Only the number of failed starts counts then.
func TestStartFailuresOfEngineCountNoExecutors(t *testing.T) {
	e := queued()
	now := start
	for n := range MaxStartFailures {
		require.Equal(t, Queued, e.Status)
		now = now.Add(time.Minute)
		require.NoError(t, e.Apply(Claimed{Executor: string(rune('a' + n)), Session: session}, now))
		require.NoError(t, e.Apply(StartFailed{Session: session, Attempt: e.Attempt, Reason: "the disk is full"}, now))
	}
	require.Equal(t, CodeNoExecutor, e.Failure.Code)
	require.Empty(t, e.StartFailures.Executors)
}

func (f *StartFailures) copy() *StartFailures {
	if f == nil {
		return nil
	}
	c := *f
	c.Executors = append([]string(nil), f.Executors...)
	return &c
}
