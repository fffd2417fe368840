package execution

import (
	"time"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Limits bound an execution in time and in the number of attempts.
type Limits struct {
	Timeout time.Duration `firestore:"timeout"` // of one attempt
	// QueueTimeout is how long after the acceptance an attempt may still begin; 0: DefaultQueueTimeout.
	QueueTimeout time.Duration     `firestore:"queueTimeout"`
	RetryPolicy  agent.RetryPolicy `firestore:"retry,omitzero"`
}

// Bounds of Timeout.
const (
	DefaultTimeout = 2 * time.Minute
	MinTimeout     = time.Second
	MaxTimeout     = time.Hour
)

// Bounds of QueueTimeout.
const (
	DefaultQueueTimeout = 24 * time.Hour
	MinQueueTimeout     = time.Second
	MaxQueueTimeout     = 7 * 24 * time.Hour
)

// StartDeadline is the time from which no attempt may begin, neither the first nor a later one. It counts from the
// acceptance, so retries never extend it.
func (e *Execution) StartDeadline() time.Time { return e.CreatedAt.Add(e.QueueTimeout) }
