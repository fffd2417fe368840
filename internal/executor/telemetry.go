package executor

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// attemptTelemetry has the metrics and the span of one attempt. The span contains names, but no text that a tenant
// wrote, unless Config.TraceContent says so.
type attemptTelemetry struct {
	runtime   string
	startedAt time.Time
	span      oteltrace.Span
	spanCtx   context.Context // of the span, for its children
}

// startTelemetry starts the span of an attempt, in the trace of the request that accepted the execution. The span
// begins at claimedAt, when the claim was sent. The returned context belongs to the span.
func (x *Executor) startTelemetry(ctx context.Context, e *execution.Execution, claimedAt time.Time) (context.Context, attemptTelemetry) {
	metrics.BusySlots.Inc()
	if e.Attempt == 1 && e.StartedAt != nil {
		metrics.DispatchLatency.WithLabelValues(string(e.Lane)).Observe(e.StartedAt.Sub(e.CreatedAt).Seconds())
	}
	ctx, span := x.config.Tracer.Start(trace.WithTraceparent(ctx, e.Traceparent), "attempt", trace.WithLinkTo(e.TraceLink),
		oteltrace.WithTimestamp(claimedAt), oteltrace.WithSpanKind(oteltrace.SpanKindConsumer), oteltrace.WithAttributes(
			attribute.String("airlock.execution", e.ID), attribute.String("airlock.tenant", e.Tenant), attribute.Int("airlock.attempt", e.Attempt),
			attribute.String("airlock.lane", string(e.Lane)), attribute.String("airlock.runtime", e.Task.Runtime),
			attribute.String("gen_ai.operation.name", "invoke_agent")))
	for name, value := range map[string]string{"gen_ai.agent.id": e.AgentID, "gen_ai.conversation.id": e.ConversationID} {
		if value != "" {
			span.SetAttributes(attribute.String(name, value))
		}
	}
	_, claim := trace.StartChild(ctx, "claim", oteltrace.WithTimestamp(claimedAt))
	claim.End()
	return ctx, attemptTelemetry{runtime: e.Task.Runtime, startedAt: time.Now(), span: span, spanCtx: ctx}
}

// recordOutcome records how the attempt ended. A failed job is a result; the span is an error only if Airlock failed.
func (t attemptTelemetry) recordOutcome(event execution.Event, err error, a *attempt) {
	switch event.(type) {
	case nil:
		metrics.LeasesLost.Inc()
		markSpanFailed(t.span, "lease lost")
	case execution.StartFailed:
		cause := "preparation"
		if failed := new(sandbox.StartError); errors.As(err, &failed) {
			cause = string(failed.Cause)
		}
		metrics.StartsFailed.WithLabelValues(cause).Inc()
		markSpanFailed(t.span, "start failed: "+cause)
	case execution.AttemptFailed:
		metrics.AttemptsFailed.Inc()
		markSpanFailed(t.span, "attempt failed")
	default:
	}
	if r := a.outcome.Record; r.Container != "" {
		start := startOf(r)
		metrics.SandboxesStarted.WithLabelValues(start).Inc()
		a.executor.jobStarts.add(start)
	}
	t.recordPhases(a)
	if a.run != nil {
		t.span.SetAttributes(attribute.String("gen_ai.request.model", a.run.Model))
	}
}

// startOf says what was already running when a job came.
func startOf(r sandbox.Record) string {
	switch {
	case r.Ahead:
		return "ahead"
	case r.Warm:
		return "warm"
	default:
		return "cold"
	}
}

// jobStarts counts jobs by startOf.
type jobStarts struct {
	mu    sync.Mutex
	count map[string]int
}

func (s *jobStarts) add(start string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == nil {
		s.count = map[string]int{}
	}
	s.count[start]++
}

func (s *jobStarts) snapshot() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.count)
}

// recordPhases adds a child span for each phase of the job. A phase lasts until the next one begins, the last one
// until now.
func (t attemptTelemetry) recordPhases(a *attempt) {
	sandboxPhase, times := "sandbox.create", a.outcome.Record.Times
	if a.outcome.Record.Warm {
		sandboxPhase = "sandbox.take"
	}
	finishedAt := time.Now()
	phases := []struct {
		name      string
		startedAt time.Time
	}{
		{sandboxPhase, a.preparedAt}, {"sandbox.dispatch", times.Dispatched}, {"agent", times.AgentStarted}, {"result", times.Result},
	}
	for i, phase := range phases {
		if phase.startedAt.IsZero() {
			return
		}
		end := finishedAt
		if i+1 < len(phases) && !phases[i+1].startedAt.IsZero() {
			end = phases[i+1].startedAt
		}
		_, child := trace.StartChild(t.spanCtx, phase.name, oteltrace.WithTimestamp(phase.startedAt))
		child.End(oteltrace.WithTimestamp(end))
	}
}

// recordFinish records how the execution ended.
func (t attemptTelemetry) recordFinish(e *execution.Execution) {
	t.span.SetAttributes(attribute.String("airlock.status", string(e.Status)))
	if e.Failure != nil {
		t.span.SetAttributes(attribute.String("airlock.code", string(e.Failure.Code)))
	}
	metrics.AttemptDuration.WithLabelValues(t.runtime).Observe(time.Since(t.startedAt).Seconds())
}

func (t attemptTelemetry) end() {
	t.span.End()
	metrics.BusySlots.Dec()
}

func markSpanFailed(span oteltrace.Span, reason string) { span.SetStatus(codes.Error, reason) }
