package execution

import (
	"cmp"
	"errors"
	"time"
)

// Why an execution is not run again.
var (
	ErrNotEnded  = errors.New("execution has not ended")
	ErrSucceeded = errors.New("execution has succeeded")
)

// Again returns a new execution that repeats e, which must have ended without
// success: ErrNotEnded, ErrSucceeded. The task is the same, whatever has become
// of the agent since. What was of a batch is repeated as a single run, since
// the batch's results are complete without it.
func (e *Execution) Again(now time.Time) (Execution, error) {
	switch {
	case !e.Status.Terminal():
		return Execution{}, ErrNotEnded
	case e.Status == Succeeded:
		return Execution{}, ErrSucceeded
	}
	again := New(e.Owner, e.Kind, e.Task, e.Limits, now)
	again.AgentID, again.ConversationID, again.Labels, again.RetryOf = e.AgentID, e.ConversationID, e.Labels, e.ID
	again.Webhook, again.TraceLink = e.Webhook, cmp.Or(e.Traceparent, e.TraceLink)
	return again, nil
}
