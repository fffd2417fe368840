package batch

import (
	"errors"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// ErrConflict means that another dispatcher has changed the batch since it was read.
var ErrConflict = errors.New("the batch was dispatched concurrently")

// Exhausted reports whether no more inputs get executions.
func (b *Batch) Exhausted() bool { return b.CancelRequested || b.NextInput == b.Total }

// Dispatch returns the executions of the inputs from NextInput on. They are queued and wait for the dispatcher to
// publish them. expectedNext is NextInput at the time when the inputs were read. If another dispatcher has dispatched
// since then, the error is ErrConflict.
func (b *Batch) Dispatch(expectedNext int, inputs []Input, now time.Time) ([]execution.Execution, error) {
	if b.NextInput != expectedNext || b.CancelRequested || b.FinishedAt != nil {
		return nil, ErrConflict
	}
	executions := make([]execution.Execution, len(inputs))
	for i, input := range inputs {
		task := b.Task
		task.Input = input.Text
		task.SetInputFiles(input.Files)
		e := execution.New(execution.Spec{Tenant: b.Tenant, Kind: execution.KindRun, Task: task, Limits: b.Limits}, now)
		e.ID = b.ExecutionID(b.NextInput + i)
		e.Lane = execution.LaneBatch
		e.AgentID, e.AgentVersion, e.BatchID = b.AgentID, b.AgentVersion, b.ID
		e.RetryOf, e.TraceLink = input.RetryOf, b.Traceparent
		e.AwaitDispatcher()
		executions[i] = e
	}
	b.NextInput += len(inputs)
	return executions, nil
}

// Skip passes over the inputs before first that are not in the store any more: they never get an execution, so that the
// batch can go on and end. It changes nothing if first is NextInput.
func (b *Batch) Skip(first int) {
	b.LostInputs += first - b.NextInput
	b.NextInput = first
}

// FinishIfDone ends a batch that has no more inputs and no execution in flight.
func (b *Batch) FinishIfDone(inFlight int, now time.Time) {
	if inFlight == 0 && b.Exhausted() && b.FinishedAt == nil {
		b.FinishedAt = &now
	}
}
