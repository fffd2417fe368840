// Package history records what happened in an Airlock and checks that every promise of Airlock was kept. Fault tests
// use it.
//
// In: the acceptances and results that callers saw, and every version of every document, read from Firestore's listen
// stream.
// Out: the violations that Check finds, and the statistics of Summarize. The package never writes to Firestore, and
// only tests import it.
package history

import (
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// History is the complete input of a check. All times of documents are Firestore's.
type History struct {
	Acceptances  []Acceptance
	Observations []Observation
	Versions     []Version // in the order of their commits
	Undecodable  []UndecodableDocument
	Outages      []TimeRange // in which overdue documents are not a violation

	// MaxOverdue is how long after its due time a document may stay unchanged. 0 disables the check.
	MaxOverdue time.Duration

	// Interruptions are the times in which executors did not run because the test killed or stopped them.
	Interruptions []Interruption

	// Slots is how many executions of each lane all executors run at a time, while there is no fault. Nil disables the
	// check of waits.
	Slots   map[execution.Lane]int
	Weights map[string]float64 // of tenants; 1 for each other
	// Faults are the times in which the test caused faults, until the last of their effects is repaired. A wait may be
	// longer by the part that lies in them.
	Faults []TimeRange
}

// Acceptance is a 202 response for one execution or for one batch.
type Acceptance struct {
	Execution, Batch string
	Text             string // that the result must have if the execution succeeds; empty: unknown
}

// Observation is a final state that the API returned to a caller.
type Observation struct {
	Execution string
	Status    execution.Status
	Text      string // of the result
}

// Version is a document as one commit wrote it. Exactly one of its pointers is set, and none for a deletion.
type Version struct {
	Path    string // below the database
	At      time.Time
	Content string // equal for two versions exactly when all their fields are equal that a client can see

	Execution    *execution.Execution
	Conversation *conversation.Conversation
	Message      *conversation.Message
	Batch        *batch.Batch
}

// UndecodableDocument is a document that does not match its domain type.
type UndecodableDocument struct {
	Path string
	Err  error
}

// TimeRange is the time between two instants.
type TimeRange struct{ From, To time.Time }

func (r TimeRange) overlaps(o TimeRange) bool { return r.From.Before(o.To) && o.From.Before(r.To) }

// overlap returns how much of r lies in the ranges together.
func overlap(r TimeRange, ranges []TimeRange) (sum time.Duration) {
	ordered := slices.Clone(ranges)
	slices.SortFunc(ordered, func(a, b TimeRange) int { return a.From.Compare(b.From) })
	covered := r.From
	for _, o := range ordered {
		from, to := o.From, o.To
		if from.Before(covered) {
			from = covered
		}
		if to.After(r.To) {
			to = r.To
		}
		if to.After(from) {
			sum += to.Sub(from)
			covered = to
		}
	}
	return sum
}
