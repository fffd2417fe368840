package executor

import (
	"context"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// tally counts one attempt, and is its span.
type tally struct {
	runtime string
	began   time.Time
	span    span
}

// count begins with the claim, which was asked for at asked. What is done with ctx is part of the attempt's span.
func (x *Executor) count(ctx context.Context, e *execution.Execution, asked time.Time) (context.Context, tally) {
	metrics.Busy.Inc()
	if e.Attempt == 1 && e.StartedAt != nil {
		metrics.Dispatch.WithLabelValues(string(e.Lane)).Observe(e.StartedAt.Sub(e.CreatedAt).Seconds())
	}
	ctx, span := x.startSpan(ctx, e, asked)
	return ctx, tally{runtime: e.Task.Runtime, began: time.Now(), span: span}
}

// judged counts what became of the attempt.
func (t tally) judged(verdict execution.Event, p performance) {
	t.span.judged(verdict, p)
	switch verdict.(type) {
	case nil:
		metrics.LeaseLost.Inc()
	case execution.Broke:
		metrics.Broken.Inc()
	default:
	}
	if r := p.outcome.Record; r.Container != "" {
		start := "cold"
		if r.Warm {
			start = "warm"
		}
		metrics.Sandboxes.WithLabelValues(start).Inc()
	}
}

// ended is told once the execution has.
func (t tally) ended(e *execution.Execution) {
	t.span.ended(e)
	metrics.RunTime.WithLabelValues(t.runtime).Observe(time.Since(t.began).Seconds())
}

func (t tally) over() {
	t.span.End()
	metrics.Busy.Dec()
}
