package execution

import (
	"time"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Limits bound an execution in time and in the number of attempts, and what it leaves.
type Limits struct {
	Timeout time.Duration `firestore:"timeout"` // of one attempt
	// QueueTimeout is how long after the acceptance an attempt may still begin; 0: DefaultQueueTimeout.
	QueueTimeout time.Duration     `firestore:"queueTimeout"`
	RetryPolicy  agent.RetryPolicy `firestore:"retry,omitzero"`
	// TranscriptRetention is the agent's: how long after the end the transcript is stored; nil: as long as the tenant
	// allows.
	TranscriptRetention *time.Duration `firestore:"transcriptRetention,omitempty"`
}

// Bounds of Timeout.
const (
	DefaultTimeout = 2 * time.Minute
	MinTimeout     = time.Second
	MaxTimeout     = time.Hour
)

// MaxModelWait bounds how long an attempt may wait for its model's provider, besides Timeout.
const MaxModelWait = 30 * time.Minute

// Bounds of QueueTimeout.
const (
	DefaultQueueTimeout = 24 * time.Hour
	MinQueueTimeout     = time.Second
	MaxQueueTimeout     = 7 * 24 * time.Hour
)

// Bounds of the parts of an execution's document, which holds at most 1 MiB in Firestore. MaxResultBytes is what the
// other parts leave for certain, each at its largest, with some 8 KiB to spare: a task that is accepted never has an
// end that cannot be stored. A test of the API stores such an execution.
//
//	input                    256 KiB  MaxInputBytes
//	instructions              32 KiB  agent.MaxInstructionsBytes
//	list of input files      115 KiB  MaxInputFiles, each with MaxInputPathBytes and 150 bytes
//	list of output files     133 KiB  MaxFilePathsBytes, and 70 bytes for each of 1000 files
//	result                   384 KiB  MaxResultBytes; without one, MaxPartialText
//	draft of an agent         35 KiB  only of the agent builder, whose instructions are short
//	steps                     18 KiB  MaxSteps, each with MaxStepBytes
//	attempts                  36 KiB  MaxAttemptHistory, each with MaxAttemptDetailBytes and an executor's name of 255 bytes
//	receipt                   16 KiB  MaxReceiptBytes
//	network                   12 KiB  20 hosts and 20 names that were refused, of some 260 bytes each
//	labels, webhook, failure  15 KiB
const (
	MaxInputBytes     = 256 << 10 // of a message, or of the input of a run or batch
	MaxInputPathBytes = 1 << 10   // of the path of an input file
	MaxReceiptBytes   = 16 << 10
	MaxResultBytes    = 384 << 10 // Text and Output of a result together; a larger one is in blob storage
	MaxPartialText    = 64 << 10
)

// StartDeadline is the time from which no attempt may begin, neither the first nor a later one. It counts from the
// acceptance, so retries never extend it.
func (e *Execution) StartDeadline() time.Time { return e.CreatedAt.Add(e.QueueTimeout) }
