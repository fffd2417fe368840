package batch

import (
	"errors"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// ErrConflict means that another batch dispatcher has changed the batch since it was read.
var ErrConflict = errors.New("the batch was dispatched concurrently")

// pollInterval is how long a batch waits for a dispatcher when no signal of an ended execution arrives.
const pollInterval = 2 * time.Second

// Share returns the batch's part of the window. active holds the IDs of the tenant's unfinished batches, the oldest
// first. The parts differ by at most 1 and their sum is the window, so a tenant with many batches gets as much as a
// tenant with one. If there are more batches than the window has capacity for, the youngest wait.
func (b *Batch) Share(active []string) int {
	rank := slices.Index(active, b.ID)
	if rank < 0 {
		return 0
	}
	share := b.Window / len(active)
	if rank < b.Window%len(active) {
		share++
	}
	return share
}

// Capacity returns how many inputs may get executions now. inFlight counts the batch's queued and running executions.
func (b *Batch) Capacity(inFlight, share int) int {
	if b.CancelRequested {
		return 0
	}
	return max(0, min(share-inFlight, b.Total-b.NextInput))
}

// Dispatch returns the executions of the inputs from NextInput on. expectedNext is NextInput at the time when the
// number of inputs was decided. If another dispatcher has dispatched since then, the error is ErrConflict: otherwise
// both would use the same capacity.
func (b *Batch) Dispatch(expectedNext int, inputs []Input, now time.Time) ([]execution.Execution, error) {
	if b.NextInput != expectedNext || b.CancelRequested || b.FinishedAt != nil {
		return nil, ErrConflict
	}
	executions := make([]execution.Execution, len(inputs))
	for i, input := range inputs {
		task := b.Task
		task.Input = input.Text
		e := execution.New(execution.Spec{Tenant: b.Tenant, Kind: execution.KindRun, Task: task, Limits: b.Limits}, now)
		e.ID = b.ExecutionID(b.NextInput + i)
		e.Lane = execution.LaneBatch
		e.AgentID, e.BatchID, e.RetryOf, e.TraceLink = b.AgentID, b.ID, input.RetryOf, b.Traceparent
		executions[i] = e
	}
	b.NextInput += len(inputs)
	b.schedulePoll(now)
	return executions, nil
}

// Skip passes over the inputs before first that are not in the store any more: they never get an execution, so that the
// batch can go on and end. It changes nothing if first is NextInput.
func (b *Batch) Skip(first int) {
	b.LostInputs += first - b.NextInput
	b.NextInput = first
}

// FinishOrReschedule ends a batch that has no more inputs and no execution in flight. Else it schedules the next poll.
func (b *Batch) FinishOrReschedule(inFlight int, now time.Time) {
	if inFlight == 0 && (b.NextInput == b.Total || b.CancelRequested) && b.FinishedAt == nil {
		b.FinishedAt = &now
		b.Due = nil
		return
	}
	b.schedulePoll(now)
}

func (b *Batch) schedulePoll(now time.Time) {
	due := now.Add(pollInterval)
	b.Due = &due
}
