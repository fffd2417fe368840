package execution

import (
	"cmp"
	"errors"
	"time"
)

// Why an execution is not run again.
var (
	ErrNotFinished = errors.New("execution has not ended")
	ErrSucceeded   = errors.New("execution has succeeded")
)

// Again returns a new execution that repeats e, which must have ended without
// success: ErrNotEnded, ErrSucceeded. The task is the same, whatever has become
// of the agent since. What was of a batch is repeated as a single run, since
// the batch's results are complete without it.
func (e *Execution) Retry(now time.Time) (Execution, error) {
	switch {
	case !e.Status.Terminal():
		return Execution{}, ErrNotFinished
	case e.Status == Succeeded:
		return Execution{}, ErrSucceeded
	}
	retry := New(e.Tenant, e.Kind, e.Task, e.Limits, now)
	retry.AgentID, retry.ConversationID, retry.Labels, retry.RetryOf = e.AgentID, e.ConversationID, e.Labels, e.ID
	retry.Webhook, retry.TraceLink = e.Webhook, cmp.Or(e.Traceparent, e.TraceLink)
	return retry, nil
}
