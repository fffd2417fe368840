// Package history keeps what happened, as callers were told it and as it was
// stored, and judges afterwards whether everything that Airlock promises held.
// It is for tests that make things go wrong.
package history

import (
	"time"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// History is everything that a verdict rests on. All times are Firestore's.
type History struct {
	Acceptances  []Acceptance
	Observations []Observation
	Versions     []Version   // in the order of their commits
	Outages      []TimeRange // in which nothing can be put right in time

	// Late is how long after it fell due something may still be as it was; 0:
	// this history does not tell.
	MaxOverdue time.Duration
}

// Promise is a 202: of one execution, or of a batch.
type Acceptance struct {
	Execution, Batch string
	Text             string // with which the execution has to succeed if it does; empty: not known
}

// Sight is an end that a caller was shown.
type Observation struct {
	Execution string
	Status    execution.Status
	Text      string // of the result
}

// Version is a document as one commit left it. One of the kinds is set; of a
// document that was deleted none. Of each kind the fields are filled in that
// are judged here.
type Version struct {
	Path    string // below the database
	At      time.Time
	Content string // two versions with the same content are alike in every field

	Execution    *execution.Execution
	Conversation *conversation.Conversation
	Message      *conversation.Message
	Batch        *batch.Batch
}

// Span is a time from one instant to another.
type TimeRange struct{ From, To time.Time }

func (s TimeRange) overlaps(o TimeRange) bool { return s.From.Before(o.To) && o.From.Before(s.To) }
