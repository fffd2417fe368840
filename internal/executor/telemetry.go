package executor

import (
	"context"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// tally counts one attempt, and is its span.
type attemptTelemetry struct {
	runtime   string
	startedAt time.Time
	span      span
}

// count begins with the claim, which was asked for at asked. What is done with ctx is part of the attempt's span.
func (x *Executor) startTelemetry(ctx context.Context, e *execution.Execution, claimedAt time.Time) (context.Context, attemptTelemetry) {
	metrics.BusySlots.Inc()
	if e.Attempt == 1 && e.StartedAt != nil {
		metrics.DispatchLatency.WithLabelValues(string(e.Lane)).Observe(e.StartedAt.Sub(e.CreatedAt).Seconds())
	}
	ctx, span := x.startSpan(ctx, e, claimedAt)
	return ctx, attemptTelemetry{runtime: e.Task.Runtime, startedAt: time.Now(), span: span}
}

// judged counts what became of the attempt.
func (t attemptTelemetry) recordOutcome(event execution.Event, p jobRun) {
	t.span.recordOutcome(event, p)
	switch event.(type) {
	case nil:
		metrics.LeasesLost.Inc()
	case execution.AttemptFailed:
		metrics.AttemptsFailed.Inc()
	default:
	}
	if r := p.outcome.Record; r.Container != "" {
		start := "cold"
		if r.Warm {
			start = "warm"
		}
		metrics.SandboxesStarted.WithLabelValues(start).Inc()
	}
}

// ended is told once the execution has.
func (t attemptTelemetry) recordFinish(e *execution.Execution) {
	t.span.recordFinish(e)
	metrics.AttemptDuration.WithLabelValues(t.runtime).Observe(time.Since(t.startedAt).Seconds())
}

func (t attemptTelemetry) end() {
	t.span.End()
	metrics.BusySlots.Dec()
}
