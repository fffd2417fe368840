package store

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// TestEveryEndIsCountedOnce: also those that no executor sees, and however often they are asked for.
func TestEveryEndIsCountedOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	const runtime = "counted" // no other test's
	a := agent.Agent{Owner: ada, Name: "A", Runtime: runtime, Timeout: time.Minute}
	require.NoError(t, f.CreateAgent(t.Context(), &a))
	submit := func() execution.Ref {
		ch, err := f.SubmitRun(t.Context(), Run{Owner: ada, AgentID: a.ID, Input: "one"})
		require.NoError(t, err)
		return ch.Execution.Ref()
	}
	stuck := submit()
	f.clock.Advance(execution.MaxQueueTimeout + time.Hour)
	finished := submit()
	f.applied(t, finished, claim)
	for _, end := range []struct {
		ref          execution.Ref
		event        execution.Event
		status, code string
	}{
		{finished, finish(1, "done"), "succeeded", ""},
		{stuck, execution.FellDue{}, "timed_out", "queue_timeout"},
		{submit(), execution.CancelAsked{}, "canceled", "canceled"},
		{submit(), execution.DeadLettered{}, "failed", "dead_lettered"},
	} {
		counted := metrics.Ended.WithLabelValues(end.status, end.code, runtime, "interactive")
		before := testutil.ToFloat64(counted)
		f.applied(t, end.ref, end.event)
		_, err := f.apply(t.Context(), end.ref, end.event)
		require.ErrorIs(t, err, execution.ErrTerminal)
		require.InDelta(t, before+1, testutil.ToFloat64(counted), 0, end.code)
	}
}
