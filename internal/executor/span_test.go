package executor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// recorded is unhurried, with a tracer whose spans are kept.
func recorded() (Config, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	c := unhurried()
	c.Tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test")
	return c, spans
}

// The phases follow one another without a gap, from the sandbox's own times.
func TestTheSpansOfAnAttempt(t *testing.T) {
	w := newWorld(t)
	config, spans := recorded()
	var times sandbox.Times
	stop := w.run(config, newBox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		now := time.Now()
		times = sandbox.Times{Dispatched: now, AgentStarted: now.Add(time.Millisecond), Result: now.Add(3 * time.Millisecond)}
		o := answer("done")
		o.Record = sandbox.Record{Container: "c", Warm: true, Times: times}
		return o, nil
	}))
	ref := w.submit("offline", "secret")
	w.await(ref, execution.Succeeded)
	stop()

	took, dispatched, agent, result, attempt := five(t, spans)
	require.Equal(t, []string{"sandbox.take", "sandbox.dispatch", "agent", "result", "attempt"},
		[]string{took.Name(), dispatched.Name(), agent.Name(), result.Name(), attempt.Name()})
	for _, phase := range []sdk.ReadOnlySpan{took, dispatched, agent, result} {
		require.Equal(t, attempt.SpanContext().SpanID(), phase.Parent().SpanID())
	}
	require.True(t, took.EndTime().Equal(times.Dispatched) && dispatched.StartTime().Equal(times.Dispatched))
	require.True(t, dispatched.EndTime().Equal(times.AgentStarted) && agent.StartTime().Equal(times.AgentStarted))
	require.True(t, agent.EndTime().Equal(times.Result) && result.StartTime().Equal(times.Result))
	require.Subset(t, attempt.Attributes(), []attribute.KeyValue{
		attribute.String("airlock.execution", ref.ID), attribute.String("airlock.tenant", owner), attribute.Int("airlock.attempt", 1),
		attribute.String("airlock.status", "succeeded"),
	})
	require.Equal(t, codes.Unset, attempt.Status().Code)
}

// What broke shows how far it came, and is an error; what a job did is none.
func TestTheSpanOfAnAttemptThatBroke(t *testing.T) {
	w := newWorld(t)
	config, spans := recorded()
	stop := w.run(config, newBox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return sandbox.Outcome{Record: sandbox.Record{Container: "c", Times: sandbox.Times{Dispatched: time.Now()}}}, errors.New("the Engine's own words")
	}))
	ref := w.submit("offline", "x")
	require.Eventually(t, func() bool { e := w.stored(ref); return e.Status == execution.Queued && e.Attempt == 1 }, patience, reread)
	stop()

	ended := spans.Ended()
	require.Len(t, ended, 3)
	require.Equal(t, []string{"sandbox.create", "sandbox.dispatch", "attempt"}, []string{ended[0].Name(), ended[1].Name(), ended[2].Name()})
	require.Equal(t, codes.Error, ended[2].Status().Code)
	require.Equal(t, "broke", ended[2].Status().Description)
}

func five(t *testing.T, spans *tracetest.SpanRecorder) (a, b, c, d, e sdk.ReadOnlySpan) {
	t.Helper()
	s := spans.Ended()
	require.Len(t, s, 5)
	return s[0], s[1], s[2], s[3], s[4]
}
