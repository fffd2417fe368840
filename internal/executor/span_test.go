package executor

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/airlock-run/airlock/internal/api"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/background/janitor"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// recorded is unhurried, with a tracer whose spans are kept.
func tracedConfig() (Config, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	c := testConfig()
	c.Tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test")
	return c, spans
}

// The phases follow one another without a gap, from the sandbox's own times.
func TestAttemptSpans(t *testing.T) {
	w := newFixture(t)
	config, spans := tracedConfig()
	var times sandbox.Times
	stop := w.run(config, newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		now := time.Now()
		times = sandbox.Times{Dispatched: now, AgentStarted: now.Add(time.Millisecond), Result: now.Add(3 * time.Millisecond)}
		o := successOutcome("done")
		o.Record = sandbox.Record{Container: "c", Warm: true, Times: times}
		return o, nil
	}))
	ref := w.submit("offline", "secret")
	w.await(ref, execution.Succeeded)
	stop()

	ended := spans.Ended()
	require.Equal(t, []string{"claim", "sandbox.take", "sandbox.dispatch", "agent", "result", "settle", "attempt"}, names(ended))
	claim, acquired, dispatched, agent, result, finish, attempt := ended[0], ended[1], ended[2], ended[3], ended[4], ended[5], ended[6]
	for _, phase := range ended[:6] {
		require.Equal(t, attempt.SpanContext().SpanID(), phase.Parent().SpanID())
	}
	require.True(t, claim.StartTime().Equal(attempt.StartTime()))
	require.False(t, finish.StartTime().Before(acquired.StartTime()))
	require.True(t, acquired.EndTime().Equal(times.Dispatched) && dispatched.StartTime().Equal(times.Dispatched))
	require.True(t, dispatched.EndTime().Equal(times.AgentStarted) && agent.StartTime().Equal(times.AgentStarted))
	require.True(t, agent.EndTime().Equal(times.Result) && result.StartTime().Equal(times.Result))
	require.Subset(t, attempt.Attributes(), []attribute.KeyValue{
		attribute.String("airlock.execution", ref.ID), attribute.String("airlock.tenant", tenant), attribute.Int("airlock.attempt", 1),
		attribute.String("airlock.status", "succeeded"),
	})
	require.Equal(t, codes.Unset, attempt.Status().Code)
}

// What broke shows how far it came, and is an error; what a job did is none.
func TestSpanOfFailedAttempt(t *testing.T) {
	w := newFixture(t)
	config, spans := tracedConfig()
	stop := w.run(config, newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return sandbox.Outcome{Record: sandbox.Record{Container: "c", Times: sandbox.Times{Dispatched: time.Now()}}}, errors.New("the Engine's own words")
	}))
	ref := w.submit("offline", "x")
	require.Eventually(t, func() bool { e := w.stored(ref); return e.Status == execution.Queued && e.Attempt == 1 }, waitTimeout, pollInterval)
	stop()

	ended := spans.Ended()
	require.Equal(t, []string{"claim", "sandbox.create", "sandbox.dispatch", "settle", "attempt"}, names(ended))
	require.Equal(t, codes.Error, ended[4].Status().Code)
	require.Equal(t, "broke", ended[4].Status().Description)
}

func names(spans []sdk.ReadOnlySpan) (names []string) {
	for _, s := range spans {
		names = append(names, s.Name())
	}
	return names
}

// silent is a queue whose announcements are lost.
type droppingQueue struct{ *queue.Queue }

func (droppingQueue) Publish(context.Context, execution.Change) error { return nil }

// A trace belongs to the request, not to the announcement: where that is lost,
// what the janitor announces is part of it all the same, and so is the next attempt.
func TestAttemptsShareTraceOfRequest(t *testing.T) {
	w := newFixture(t)
	config, spans := tracedConfig()
	server := httptest.NewServer(api.New(api.Config{
		Runtimes: []string{"offline"}, DefaultRuntime: "offline", WebUI: http.NotFoundHandler(), Auth: api.DevAuthenticator{}, Tracer: config.Tracer,
	}, w.store, droppingQueue{w.queue}, w.log).Handler())
	t.Cleanup(server.Close)
	agent := post[contract.Agent](t, server.URL+"/agents", `{"name":"A","instructions":"B"}`)
	accepted := post[contract.AcceptedExecution](t, server.URL+"/agents/"+agent.Id+"/run", `{"input":"x"}`)
	ref := execution.Ref{Tenant: "local", ID: accepted.ExecutionId}

	var jobs atomic.Int32
	stop := w.run(config, newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		if jobs.Add(1) == 1 {
			return sandbox.Outcome{}, errors.New("the Engine hiccups")
		}
		return successOutcome("done"), nil
	}))
	w.sweepOnce()
	require.Eventually(t, func() bool { e := w.stored(ref); return e.Status == execution.Queued && e.FailedAttempts == 1 }, waitTimeout, pollInterval)
	w.sweepOnce()
	w.await(ref, execution.Succeeded)
	stop()

	var request sdk.ReadOnlySpan
	var attempts []sdk.ReadOnlySpan
	for _, s := range spans.Ended() {
		switch {
		case s.Name() == "POST /agents/:id/run":
			request = s
		case s.Name() == "attempt":
			attempts = append(attempts, s)
		}
	}
	require.Len(t, attempts, 2)
	for _, attempt := range attempts {
		require.Equal(t, request.SpanContext().TraceID(), attempt.SpanContext().TraceID())
		require.Equal(t, request.SpanContext().SpanID(), attempt.Parent().SpanID())
		require.Empty(t, attempt.Links())
	}
}

// What comes from something else has a trace of its own, which points there.
func TestSpanLinksToTraceOfOrigin(t *testing.T) {
	const parent, trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"
	config, spans := tracedConfig()
	x := newFixture(t).newExecutor(config, nil, nil, nil)
	_, telemetry := x.startTelemetry(t.Context(), &execution.Execution{TraceLink: parent}, time.Now())
	telemetry.end()
	attempt := spans.Ended()[1]
	require.False(t, attempt.Parent().IsValid())
	require.NotEqual(t, trace, attempt.SpanContext().TraceID().String())
	require.Len(t, attempt.Links(), 1)
	require.Equal(t, trace, attempt.Links()[0].SpanContext.TraceID().String())
}

// sweep lets a minute pass, and announces what is due as the janitor does.
func (w *fixture) sweepOnce() {
	w.t.Helper()
	w.clock.Advance(time.Minute)
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	j := janitor.New(w.store, notifyingQueue{w.queue, cancel}, janitor.Retention{}, time.Hour, w.log)
	require.NoError(w.t, j.Run(ctx))
}

// once is the real queue, and says when it has told of something.
type notifyingQueue struct {
	*queue.Queue
	onPublish func()
}

func (q notifyingQueue) Publish(ctx context.Context, ch execution.Change) error {
	defer q.onPublish()
	return q.Queue.Publish(ctx, ch)
}

func post[T any](t *testing.T, url, body string) (answer T) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer res.Body.Close()
	require.Less(t, res.StatusCode, 300)
	require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
	return answer
}
