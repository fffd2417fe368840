package execution

import (
	"cmp"
	"errors"
	"time"
)

// Errors of Retry.
var (
	ErrNotFinished = errors.New("execution has not finished")
	ErrSucceeded   = errors.New("execution has succeeded")
)

// Retry returns a new execution that repeats e. e must have finished without success, else the error is
// ErrNotFinished or ErrSucceeded. The task is the same, even if the agent has changed. An execution of a batch is
// repeated as a single run: the results of the batch stay as they are.
func (e *Execution) Retry(now time.Time) (Execution, error) {
	switch {
	case !e.Status.Terminal():
		return Execution{}, ErrNotFinished
	case e.Status == Succeeded:
		return Execution{}, ErrSucceeded
	}
	retry := New(Spec{Tenant: e.Tenant, Kind: e.Kind, Task: e.Task, Limits: e.Limits}, now)
	retry.AgentVersion = e.AgentVersion
	retry.AgentID, retry.ConversationID, retry.Labels, retry.RetryOf = e.AgentID, e.ConversationID, e.Labels, e.ID
	retry.Webhook, retry.TraceLink = e.Webhook, cmp.Or(e.Traceparent, e.TraceLink)
	return retry, nil
}
