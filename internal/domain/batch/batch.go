// Package batch defines a batch: many runs of one agent that are accepted together.
//
// In: counts of executions and the next inputs, which the store reads. Out: the executions to create, and the state of
// the batch. The package never reads a clock, a database or a queue: the caller passes Firestore's time.
package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// MaxInputs bounds the inputs of a batch.
const MaxInputs = 100_000

// Ref names a batch. Nothing is read without its tenant. See execution.Ref for why it is a type of its own.
type Ref struct {
	Tenant string
	ID     string
}

// Batch holds a complete copy of the agent's task: changes of the agent after the acceptance do not change it. Its
// Firestore document is this struct; the inputs are documents below it. All times are Firestore's.
type Batch struct {
	ID      string `firestore:"id"`
	Tenant  string `firestore:"tenant"`
	AgentID string `firestore:"agentId"`
	// AgentVersion is the version of the agent that all executions use.
	AgentVersion int    `firestore:"agentVersion,omitempty"`
	RetryOf      string `firestore:"retryOf,omitempty"` // the batch whose failed inputs this one repeats
	Webhook      string `firestore:"webhook,omitempty"` // URL to notify of the end; empty: none

	Traceparent string `firestore:"traceparent,omitempty"` // of the request that was accepted; the executions link to it

	Task             execution.Task `firestore:"task"` // of every execution, without its Input
	execution.Limits                // of every execution; QueueTimeout counts from its creation

	Total int `firestore:"total"` // number of inputs
	// NextInput is the first input that has had no execution yet. It only grows, in the transaction that creates the
	// executions before it.
	NextInput int `firestore:"nextInput"`
	// LostInputs is how many inputs before NextInput have no execution, because they were not in the store.
	LostInputs int `firestore:"lostInputs,omitempty"`

	CancelRequested bool       `firestore:"cancelRequested"`
	CreatedAt       time.Time  `firestore:"createdAt"`
	FinishedAt      *time.Time `firestore:"finishedAt"`
}

// Input is one input of a batch.
type Input struct {
	Text    string `firestore:"text"`
	RetryOf string `firestore:"retryOf,omitempty"` // the execution that failed with this input before
	// Files are its input files, all of them uploaded files.
	Files []execution.File `firestore:"files,omitempty"`
}

// Ref returns the name of the batch.
func (b *Batch) Ref() Ref { return Ref{Tenant: b.Tenant, ID: b.ID} }

// Cancel stops the creation of further executions. It returns execution.ErrTerminal if the batch has finished.
func (b *Batch) Cancel() error {
	if b.FinishedAt != nil {
		return execution.ErrTerminal
	}
	b.CancelRequested = true
	return nil
}

// ExecutionID returns the ID of the execution of input i. The batch and i determine it, so the results are found in the
// order of the inputs without an index.
func (b *Batch) ExecutionID(i int) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(b.ID), uint64(i)))
	return id.FromHash(id.Execution, sum)
}
