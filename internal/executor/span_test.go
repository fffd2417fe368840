package executor

import (
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/watch"

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
	"github.com/airlock-run/airlock/internal/quota/quotatest"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// tracedConfig returns a testConfig with a tracer, and the recorder of its spans.
func tracedConfig() (Config, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	c := testConfig()
	c.Tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test")
	return c, spans
}

// The phases use the times of the sandbox and follow one another without a gap.
func TestAttemptSpans(t *testing.T) {
	f := newFixture(t)
	config, spans := tracedConfig()
	var times sandbox.Times
	stop := f.run(config, newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		now := time.Now()
		times = sandbox.Times{Dispatched: now, AgentStarted: now.Add(time.Millisecond), Result: now.Add(3 * time.Millisecond)}
		o := successOutcome("done")
		o.Record = sandbox.Record{Container: "c", Warm: true, Times: times}
		return o, nil
	}))
	ref := f.submit("offline", "secret")
	f.await(ref, execution.Succeeded)
	stop()

	ended := spans.Ended()
	require.Equal(t, []string{"claim", "sandbox.take", "sandbox.dispatch", "agent", "result", "finish", "attempt"}, names(ended))
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

// The span of a failed attempt is an error and has the phases up to the failure.
func TestSpanOfFailedAttempt(t *testing.T) {
	f := newFixture(t)
	config, spans := tracedConfig()
	stop := f.run(config, newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return sandbox.Outcome{Record: sandbox.Record{Container: "c", Times: sandbox.Times{Dispatched: time.Now(), AgentStarted: time.Now()}}}, errors.New("an error of the Engine")
	}))
	ref := f.submit("offline", "x")
	require.Eventually(t, func() bool { e := f.stored(ref); return e.Status == execution.Queued && e.Attempt == 1 }, waitTimeout, pollInterval)
	stop()

	ended := spans.Ended()
	require.Equal(t, []string{"claim", "sandbox.create", "sandbox.dispatch", "agent", "finish", "attempt"}, names(ended))
	require.Equal(t, codes.Error, ended[5].Status().Code)
	require.Equal(t, "attempt failed", ended[5].Status().Description)
}

func names(spans []sdk.ReadOnlySpan) (names []string) {
	for _, s := range spans {
		names = append(names, s.Name())
	}
	return names
}

// droppingQueue is a queue whose notifications are lost.
type droppingQueue struct{ *queue.Queue }

func (droppingQueue) Publish(context.Context, execution.Change) error { return nil }

// The trace of the request is stored with the execution. So an attempt belongs to it also when the notification was
// lost and the janitor has published another one, and so do later attempts.
func TestAttemptsShareTraceOfRequest(t *testing.T) {
	f := newFixture(t)
	config, spans := tracedConfig()
	server := httptest.NewServer(api.New(api.Config{
		Stores: api.StoresOf(f.store), Submitter: quotatest.Unlimited{Store: f.store}, Queue: droppingQueue{f.queue}, Log: f.log,
		Watch:    watch.New(f.store, id.New(id.Process), f.log),
		Runtimes: []string{"offline"}, DefaultRuntime: "offline", WebUI: http.NotFoundHandler(), Auth: api.DevAuthenticator{}, Tracer: config.Tracer,
	}).Handler())
	t.Cleanup(server.Close)
	agent := post[contract.Agent](t, server.URL+"/agents", `{"name":"A","instructions":"B"}`)
	accepted := post[contract.AcceptedExecution](t, server.URL+"/agents/"+agent.Id+"/run", `{"input":"x"}`)
	ref := execution.Ref{Tenant: "local", ID: accepted.ExecutionId}

	var jobs atomic.Int32
	stop := f.run(config, newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		if jobs.Add(1) == 1 {
			return sandbox.Outcome{Record: begunRecord()}, errors.New("an error of the Engine")
		}
		return successOutcome("done"), nil
	}))
	f.sweepOnce()
	require.Eventually(t, func() bool { e := f.stored(ref); return e.Status == execution.Queued && e.FailedAttempts == 1 }, waitTimeout, pollInterval)
	f.sweepOnce()
	f.await(ref, execution.Succeeded)
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

// An execution with a TraceLink has its own trace, with a link to the trace of its origin.
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

// sweepOnce advances the clock by a minute and runs a janitor until it has published an execution.
func (f *fixture) sweepOnce() {
	f.t.Helper()
	f.clock.Advance(time.Minute)
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	j := janitor.New(janitor.Config{
		StartableRuntimes: func(context.Context) []string { return nil },
		Store:             f.store, Executions: f.store, Publisher: notifyingQueue{f.queue, cancel}, Interval: time.Hour, Log: f.log,
	})
	require.NoError(f.t, j.Run(ctx))
}

// notifyingQueue is a real queue that calls onPublish after each Publish.
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
