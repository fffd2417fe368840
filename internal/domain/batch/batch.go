// Package batch is the domain of many runs of one agent that were accepted
// together. It knows no database or queue.
package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// MaxInputs is how many inputs a batch may have.
const MaxInputs = 100_000

// DefaultWindow is more than a second's work of a busy executor, and little
// enough that the batches of ten tenants share the executors.
const DefaultWindow = 200

// lookAgain is how long a batch goes unlooked at when nothing tells of it.
const pollInterval = 2 * time.Second

// Ref names a batch. There is no reading of one without its tenant.
type Ref struct {
	Tenant string `firestore:"tenant"`
	ID     string `firestore:"id"`
}

// Batch is many inputs for one agent, complete: what is edited elsewhere after
// it was accepted does not change it. Its Firestore document is this struct;
// the inputs are documents below it. All times are Firestore's.
type Batch struct {
	ID      string `firestore:"id"`
	Tenant  string `firestore:"tenant"`
	AgentID string `firestore:"agentId"`
	RetryOf string `firestore:"retryOf,omitempty"` // batch whose failed inputs these are
	Webhook string `firestore:"webhook,omitempty"` // URL that is told of the batch's end

	Traceparent string `firestore:"traceparent,omitempty"` // of the request by which it was accepted; its executions link to it

	Task             execution.Task `firestore:"task"` // of every execution; each has its own Input
	execution.Limits                // of every execution; it waits from when it is made

	Total int `firestore:"total"`
	// Window is how many executions of the tenant's batches may be queued or
	// running at once; its active batches share it.
	Window int `firestore:"window"`
	// Next is the first input that has no execution yet. It only counts up, in
	// the transaction that makes the executions before it.
	NextInput int `firestore:"nextInput"`

	CancelRequested bool       `firestore:"cancelRequested"`
	Due             *time.Time `firestore:"due"` // when the feeder has to look; nil once all has ended
	CreatedAt       time.Time  `firestore:"createdAt"`
	FinishedAt      *time.Time `firestore:"finishedAt"`
}

// Input is one input of a batch, before it has an execution.
type Input struct {
	Text    string `firestore:"text"`
	RetryOf string `firestore:"retryOf,omitempty"` // execution that failed with it before
}

// ErrMoved means that the batch was fed by somebody else meanwhile.
var ErrConflict = errors.New("the batch was fed meanwhile")

// Ref names the batch.
func (b *Batch) Ref() Ref { return Ref{Tenant: b.Tenant, ID: b.ID} }

// Share is the batch's part of the window, where active are the IDs of the
// tenant's batches that have not ended, the oldest first. The parts are equal,
// and together the window: a tenant has the same however many its batches are.
// Of more batches than the window holds, the younger wait.
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

// Room is how many inputs may be given executions when inFlight of its share are queued or running.
func (b *Batch) Capacity(inFlight, share int) int {
	if b.CancelRequested {
		return 0
	}
	return max(0, min(share-inFlight, b.Total-b.NextInput))
}

// Feed makes executions of the inputs from Next on. next is what Next was when
// their number was decided: an execution is made only while no one else fed the
// batch since (ErrMoved), and that is what keeps its share.
func (b *Batch) Dispatch(expectedNext int, inputs []Input, now time.Time) ([]execution.Execution, error) {
	if b.NextInput != expectedNext || b.CancelRequested || b.FinishedAt != nil {
		return nil, ErrConflict
	}
	executions := make([]execution.Execution, len(inputs))
	for i, input := range inputs {
		task := b.Task
		task.Input = input.Text
		e := execution.New(b.Tenant, execution.KindRun, task, b.Limits, now)
		e.ID = b.ExecutionID(b.NextInput + i)
		e.Lane = execution.LaneBatch
		e.AgentID, e.BatchID, e.RetryOf, e.TraceLink = b.AgentID, b.ID, input.RetryOf, b.Traceparent
		executions[i] = e
	}
	b.NextInput += len(inputs)
	b.schedulePoll(now)
	return executions, nil
}

// Look notes that the batch was looked at when inFlight of its executions were
// queued or running, and ends it when there is nothing left to come.
func (b *Batch) FinishOrReschedule(inFlight int, now time.Time) {
	if inFlight == 0 && (b.NextInput == b.Total || b.CancelRequested) && b.FinishedAt == nil {
		b.FinishedAt = &now
		b.Due = nil
		return
	}
	b.schedulePoll(now)
}

// Cancel keeps further inputs from getting executions. It returns
// execution.ErrTerminal when the batch has ended.
func (b *Batch) Cancel(now time.Time) error {
	if b.FinishedAt != nil {
		return execution.ErrTerminal
	}
	b.CancelRequested = true
	b.Due = &now
	return nil
}

func (b *Batch) schedulePoll(now time.Time) {
	due := now.Add(pollInterval)
	b.Due = &due
}

// ExecutionID is the ID of the execution of input i. It follows from the batch
// and i, so that results are found in input order without an index.
func (b *Batch) ExecutionID(i int) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(b.ID), uint64(i)))
	return id.FromHash(id.Execution, sum)
}

// Progress counts the inputs of a batch by what has become of them.
type Progress struct {
	Pending            int // have no execution yet
	ByStatus           map[execution.Status]int
	CostUSD            float64
	EstimatedRemaining time.Duration // an estimate; 0 when there is nothing to estimate from
}

// Progress completes the counts of executions to those of all inputs.
func (b *Batch) Progress(byStatus map[execution.Status]int, costUSD float64, now time.Time) Progress {
	p := Progress{Pending: b.Total - b.NextInput, ByStatus: byStatus, CostUSD: costUSD}
	if b.CancelRequested { // what never got an execution never will
		byStatus[execution.Canceled] += p.Pending
		p.Pending = 0
	}
	finished := 0
	for status, n := range byStatus {
		if status.Terminal() {
			finished += n
		}
	}
	if unfinished := b.Total - finished; finished > 0 && unfinished > 0 && b.FinishedAt == nil {
		p.EstimatedRemaining = time.Duration(float64(now.Sub(b.CreatedAt)) / float64(finished) * float64(unfinished)).Round(time.Second)
	}
	return p
}
