package simulator

import (
	"context"
	"time"
)

// Latency is what a call of Google's services takes. Half of it passes before the emulator acts, and half after.
// Polls, listeners, acknowledgements and administrative calls have none.
type Latency struct {
	Get, Query, Aggregate, Commit, Publish time.Duration
}

// DefaultLatency has medians of Google's services, seen from the same region.
var DefaultLatency = Latency{
	Get: 6 * time.Millisecond, Query: 10 * time.Millisecond, Aggregate: 15 * time.Millisecond,
	Commit: 25 * time.Millisecond, Publish: 15 * time.Millisecond,
}

// Times returns the latency multiplied by factor; 0 switches it off.
func (l Latency) Times(factor float64) Latency {
	times := func(d time.Duration) time.Duration { return time.Duration(float64(d) * factor) }
	return Latency{times(l.Get), times(l.Query), times(l.Aggregate), times(l.Commit), times(l.Publish)}
}

// of returns the latency of a method, by its name without the service.
func (l Latency) of(method string) time.Duration {
	switch method {
	case "BatchGetDocuments", "GetDocument", "BeginTransaction":
		return l.Get
	case "RunQuery", "ListDocuments":
		return l.Query
	case "RunAggregationQuery":
		return l.Aggregate
	case "Commit", "BatchWrite":
		return l.Commit
	case "Publish":
		return l.Publish
	default:
		return 0
	}
}

// sleep returns early when ctx ends; the call then fails by itself.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
