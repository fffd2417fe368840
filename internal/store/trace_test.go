package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// What a request accepts is stored with its trace, and linked to that of what it repeats or is part of.
func TestWhatIsAcceptedKeepsTheTraceOfItsRequest(t *testing.T) {
	const first, second = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
	f := start(t)
	ctx := trace.Join(t.Context(), first)
	run, err := f.SubmitRun(ctx, Run{Owner: ada, AgentID: f.agent(t, ada).ID, Input: "x"})
	require.NoError(t, err)
	turn, err := f.SubmitTurn(ctx, Turn{Owner: ada, Message: "x"})
	require.NoError(t, err)
	for _, ch := range []execution.Change{run, turn} {
		e, err := f.Execution(t.Context(), ch.Execution.Ref())
		require.NoError(t, err)
		require.Equal(t, first, e.Traceparent)
		require.Empty(t, e.TraceLink)

		_, err = f.Apply(t.Context(), e.Ref(), execution.CancelAsked{})
		require.NoError(t, err)
		again, err := f.Retry(trace.Join(t.Context(), second), e.Ref())
		require.NoError(t, err)
		require.Equal(t, second, again.Execution.Traceparent)
		require.Equal(t, first, again.Execution.TraceLink)
	}

	b := batch.Batch{ID: id.New(id.Batch), Owner: ada, AgentID: f.agent(t, ada).ID, Window: 1, Total: 1}
	inputs := f.NewInputs(b.Ref())
	require.NoError(t, inputs.Add(ctx, batch.Input{Text: "x"}))
	require.NoError(t, inputs.Flush(ctx))
	require.NoError(t, f.SubmitBatch(ctx, &b))
	_, fed, err := f.FeedBatch(trace.Join(t.Context(), second), b.Ref())
	require.NoError(t, err)
	require.Empty(t, fed.Execution.Traceparent, "thousands of executions are no one trace")
	require.Equal(t, first, fed.Execution.TraceLink)
	_, err = f.Apply(t.Context(), fed.Execution.Ref(), execution.CancelAsked{})
	require.NoError(t, err)
	again, err := f.Retry(t.Context(), fed.Execution.Ref())
	require.NoError(t, err)
	require.Equal(t, first, again.Execution.TraceLink)
}
