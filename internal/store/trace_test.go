package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// A submission stores the trace of its request, and a link to the trace of the execution that it repeats or of its
// batch.
func TestSubmissionsStoreTraceparent(t *testing.T) {
	const first, second = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
	f := newFixture(t)
	ctx := trace.WithTraceparent(t.Context(), first)
	run, err := f.SubmitRun(ctx, RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Input: "x"})
	require.NoError(t, err)
	turn, err := f.SubmitTurn(ctx, TurnRequest{Tenant: ada, Message: "x"})
	require.NoError(t, err)
	for _, ch := range []execution.Change{run, turn} {
		e, err := f.Execution(t.Context(), ch.Execution.Ref())
		require.NoError(t, err)
		require.Equal(t, first, e.Traceparent)
		require.Empty(t, e.TraceLink)

		_, err = f.Apply(t.Context(), e.Ref(), execution.CancelRequested{})
		require.NoError(t, err)
		retry, err := f.Retry(trace.WithTraceparent(t.Context(), second), e.Ref(), nil, nil)
		require.NoError(t, err)
		require.Equal(t, second, retry.Execution.Traceparent)
		require.Equal(t, first, retry.Execution.TraceLink)
	}

	b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: f.createAgent(t, ada).ID, Total: 1}
	inputs := f.NewBatchInputWriter(b.Ref())
	require.NoError(t, inputs.Add(ctx, batch.Input{Text: "x"}))
	require.NoError(t, inputs.Flush(ctx))
	require.NoError(t, f.SubmitBatch(ctx, &b, nil))
	_, dispatched, err := f.DispatchBatch(trace.WithTraceparent(t.Context(), second), b.Ref())
	require.NoError(t, err)
	e, err := f.Execution(t.Context(), dispatched[0])
	require.NoError(t, err)
	require.Empty(t, e.Traceparent, "the executions of a batch are too many for one trace")
	require.Equal(t, first, e.TraceLink)
	_, err = f.Apply(t.Context(), dispatched[0], execution.CancelRequested{})
	require.NoError(t, err)
	retry, err := f.Retry(t.Context(), dispatched[0], nil, nil)
	require.NoError(t, err)
	require.Equal(t, first, retry.Execution.TraceLink)
}
