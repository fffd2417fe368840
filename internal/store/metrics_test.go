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
func TestFinishedExecutionCountedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const runtime = "counted" // no other test's
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: runtime, Timeout: time.Minute}
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	submit := func() execution.Ref {
		ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "one"})
		require.NoError(t, err)
		return ch.Execution.Ref()
	}
	stuck := submit()
	f.clock.Advance(execution.MaxQueueTimeout + time.Hour)
	finished := submit()
	f.mustApply(t, finished, claimEvent)
	for _, end := range []struct {
		ref          execution.Ref
		event        execution.Event
		status, code string
	}{
		{finished, successEvent(1, "done"), "succeeded", ""},
		{stuck, execution.Expired{}, "timed_out", "queue_timeout"},
		{submit(), execution.CancelRequested{}, "canceled", "canceled"},
		{submit(), execution.DeadLettered{}, "failed", "dead_lettered"},
	} {
		counted := metrics.ExecutionsFinished.WithLabelValues(end.status, end.code, runtime, "interactive")
		before := testutil.ToFloat64(counted)
		f.mustApply(t, end.ref, end.event)
		_, err := f.applyUntilAvailable(t.Context(), end.ref, end.event)
		require.ErrorIs(t, err, execution.ErrTerminal)
		require.InDelta(t, before+1, testutil.ToFloat64(counted), 0, end.code)
	}
}
