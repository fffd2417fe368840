package executor

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// span is that of one attempt. Nothing that a tenant wrote is in it, but names.
type span struct {
	oteltrace.Span
	ctx context.Context // of the span, for those below it
}

// startSpan begins when the claim was asked for, in the trace of the request that accepted the execution.
func (x *Executor) startSpan(ctx context.Context, e *execution.Execution, claimedAt time.Time) (context.Context, span) {
	ctx, s := x.config.Tracer.Start(trace.WithTraceparent(ctx, e.Traceparent), "attempt", trace.WithLinkTo(e.TraceLink), oteltrace.WithTimestamp(claimedAt), oteltrace.WithSpanKind(oteltrace.SpanKindConsumer), oteltrace.WithAttributes(
		attribute.String("airlock.execution", e.ID), attribute.String("airlock.tenant", e.Tenant), attribute.Int("airlock.attempt", e.Attempt),
		attribute.String("airlock.lane", string(e.Lane)), attribute.String("airlock.runtime", e.Task.Runtime)))
	_, claim := trace.StartChild(ctx, "claim", oteltrace.WithTimestamp(claimedAt))
	claim.End()
	return ctx, span{Span: s, ctx: ctx}
}

// judged puts the phases of the job below the attempt, each of which went on
// until the next one began, and the last until now. That a job failed is its
// result; an error is what Airlock could not do.
func (s span) recordOutcome(event execution.Event, p jobRun) {
	switch event.(type) {
	case nil:
		s.SetStatus(codes.Error, "lease lost")
	case execution.AttemptFailed:
		s.SetStatus(codes.Error, "broke")
	default:
	}
	sandboxPhase, record := "sandbox.create", p.outcome.Record
	if record.Warm {
		sandboxPhase = "sandbox.take"
	}
	finishedAt := time.Now()
	phases := []struct {
		name  string
		began time.Time
	}{
		{sandboxPhase, p.preparedAt}, {"sandbox.dispatch", record.Times.Dispatched}, {"agent", record.Times.AgentStarted}, {"result", record.Times.Result},
	}
	for i, phase := range phases {
		if phase.began.IsZero() {
			return
		}
		end := finishedAt
		if i+1 < len(phases) && !phases[i+1].began.IsZero() {
			end = phases[i+1].began
		}
		_, child := trace.StartChild(s.ctx, phase.name, oteltrace.WithTimestamp(phase.began))
		child.End(oteltrace.WithTimestamp(end))
	}
}

// ended says how the execution ended.
func (s span) recordFinish(e *execution.Execution) {
	s.SetAttributes(attribute.String("airlock.status", string(e.Status)))
	if e.Failure != nil {
		s.SetAttributes(attribute.String("airlock.code", string(e.Failure.Code)))
	}
}
