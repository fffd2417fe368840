package executor

import (
	"time"

	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/metrics"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// tally counts one attempt.
type tally struct {
	runtime string
	began   time.Time
}

// count begins with the claim.
func count(e *execution.Execution) tally {
	metrics.Busy.Inc()
	if e.Attempt == 1 && e.StartedAt != nil {
		metrics.Dispatch.WithLabelValues(string(e.Lane)).Observe(e.StartedAt.Sub(e.CreatedAt).Seconds())
	}
	return tally{runtime: e.Task.Runtime, began: time.Now()}
}

// judged counts what became of the attempt.
func (t tally) judged(verdict execution.Event, r sandbox.Record) {
	switch verdict.(type) {
	case nil:
		metrics.LeaseLost.Inc()
	case execution.Broke:
		metrics.Broken.Inc()
	default:
	}
	if r.Container != "" {
		start := "cold"
		if r.Warm {
			start = "warm"
		}
		metrics.Sandboxes.WithLabelValues(start).Inc()
	}
}

// ended counts the end of the execution. What no executor has as a runtime is
// what a tenant wrote, and no label.
func (t tally) ended(e *execution.Execution) {
	code, runtime := "", t.runtime
	if e.Failure != nil {
		code = string(e.Failure.Code)
		if e.Failure.Code == execution.CodeUnknownRuntime {
			runtime = ""
		}
	}
	metrics.Ended.WithLabelValues(string(e.Status), code, runtime, string(e.Lane)).Inc()
	metrics.RunTime.WithLabelValues(runtime).Observe(time.Since(t.began).Seconds())
}

func (tally) over() { metrics.Busy.Dec() }
