package execution

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Limits bound an execution in time and in number.
type Limits struct {
	Timeout time.Duration `firestore:"timeout"` // of one attempt
	// QueueTimeout is how long after its acceptance an attempt may still begin;
	// 0: DefaultQueueTimeout.
	QueueTimeout time.Duration     `firestore:"queueTimeout"`
	RetryPolicy  agent.RetryPolicy `firestore:"retry,omitzero"`
}

// Bounds of an attempt's time.
const (
	DefaultTimeout = 2 * time.Minute
	MinTimeout     = time.Second
	MaxTimeout     = time.Hour
)

// Bounds of the time in which an execution may begin.
const (
	DefaultQueueTimeout = 24 * time.Hour
	MinQueueTimeout     = time.Second
	MaxQueueTimeout     = 7 * 24 * time.Hour
)

// StartBy is when it is too late for an attempt to begin, the first or a
// repeated one: who asked does not care for it any more. It is one time for
// all of them, so that no retry, however often, extends it.
func (e *Execution) StartDeadline() time.Time { return e.CreatedAt.Add(e.QueueTimeout) }

// Bounds of the pause after a failed attempt.
const (
	minBackoff = 2 * time.Second
	maxBackoff = time.Minute
)

// pause is how long to wait after the n-th failure of a sort: 2 s, 4 s, 8 s …
// up to a minute, less at most half of it, so that what failed together does
// not come back together. What is taken off follows from the execution and its
// attempt, so that a repeated transition has the same outcome.
func (e *Execution) retryBackoff(n int) time.Duration {
	limit := min(minBackoff<<min(n-1, 5), maxBackoff)
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", e.ID, e.Attempt)
	return limit - time.Duration(h.Sum64()%uint64(limit/2)).Truncate(time.Millisecond)
}

// mayPass tells the failures that another attempt at the same task may not
// meet, since neither a model nor a program need do the same thing twice. The
// others would be met again: a budget is one for all attempts, and what cannot
// be put to an agent stays so.
func (c Code) retryable() bool {
	switch c {
	case CodeAgentError, CodeInvalidResult, CodeModelError, CodeOutOfMemory, CodeOutputLimit, CodeTimedOut:
		return true
	default:
		return false
	}
}
