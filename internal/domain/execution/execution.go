// Package execution defines an execution: its task, its states, and the events that change it.
//
// In: a Spec, from which New makes a queued execution, and events, which Apply applies.
// Out: the changed Execution, or an error that says why an event does not apply.
// The package never reads a clock, a database, a queue or a container: the caller passes Firestore's time.
package execution

import (
	"hash/fnv"
	"time"

	"github.com/airlock-run/airlock/internal/domain/id"
)

// Kind says what the execution was requested by.
type Kind string

// The kinds.
const (
	KindConversation Kind = "conversation" // one turn of a conversation
	KindRun          Kind = "run"          // one run of an agent
)

// Lane is the queue in which an execution waits. Batches have their own, so that a person never waits for a batch.
type Lane string

// The lanes.
const (
	LaneInteractive Lane = "interactive" // conversations and single runs
	LaneBatch       Lane = "batch"
)

// Ref names an execution. Nothing is read without its tenant.
//
// Package batch and package webhook have a Ref of the same shape. They are types of their own, so that the compiler
// rejects the reference of a batch where one of an execution is needed. Only this one is sent in messages.
type Ref struct {
	Tenant string `json:"tenant"`
	ID     string `json:"executionId"`
}

// Execution is one piece of work from its acceptance to its end. Its Firestore document is this struct.
// All times are Firestore's, never this machine's.
type Execution struct {
	ID     string `firestore:"id"`
	Tenant string `firestore:"tenant"`
	Kind   Kind   `firestore:"kind"`
	Status Status `firestore:"status"`
	Lane   Lane   `firestore:"lane"`

	AgentID        string `firestore:"agentId,omitempty"`
	AgentVersion   int    `firestore:"agentVersion,omitempty"` // 0: it was accepted before agents had versions
	ConversationID string `firestore:"conversationId,omitempty"`
	Turn           int    `firestore:"turn,omitempty"` // of the conversation; counts from 1
	BatchID        string `firestore:"batchId,omitempty"`
	RetryOf        string `firestore:"retryOf,omitempty"` // the execution that this one repeats
	Webhook        string `firestore:"webhook,omitempty"` // URL to notify of the end; empty: none

	// Traceparent (W3C) is the trace context of the request that was accepted. All attempts belong to that trace,
	// whichever process published the notification. Empty: each attempt begins a trace.
	Traceparent string `firestore:"traceparent,omitempty"`
	// TraceLink is the trace context of the execution that this one repeats, or of the request that made its batch.
	// The executions of a batch are too many for one trace.
	TraceLink string `firestore:"traceLink,omitempty"`

	Labels []Label `firestore:"labels,omitempty"` // set by the caller, in the order of their names

	Task Task `firestore:"task"`
	Limits

	Attempt         int `firestore:"attempt,omitempty"`         // number of the newest attempt; 0 before the first
	RetriedFailures int `firestore:"retriedFailures,omitempty"` // attempts whose job failed with a retryable code
	FailedAttempts  int `firestore:"failedAttempts,omitempty"`  // attempts that failed because of Airlock; at most MaxAttempts
	MaxAttempts     int `firestore:"maxAttempts"`
	// Attempts is the history of the attempts that have ended, the newest last, at most MaxAttemptHistory.
	Attempts []Attempt `firestore:"attempts,omitempty"`
	// StartFailures counts the attempts whose job never began. They do not count against MaxAttempts. nil: none.
	StartFailures *StartFailures `firestore:"startFailures,omitempty"`

	Lease *Lease `firestore:"lease,omitempty"` // non-nil exactly while running

	// CancelRequested tells the executor that holds the lease to stop the job.
	CancelRequested bool `firestore:"cancelRequested"`

	// Due is when the janitor must act if the execution has not changed until then. It is nil exactly when the
	// execution is terminal, so no execution waits forever.
	Due *time.Time `firestore:"due,omitempty"`
	// Shard is the part of the index of due times that has the execution, from 0 to Shards-1.
	Shard int `firestore:"shard"`

	// Ready is set by an event after which the execution may run and needs a notification. It is not stored.
	Ready bool `firestore:"-"`

	Result  *Result  `firestore:"result,omitempty"`
	Failure *Failure `firestore:"error,omitempty"`
	// PartialText is what the agent had said when its job ended without a result: the newest MaxPartialText bytes.
	PartialText string `firestore:"partialText,omitempty"`
	Usage       Usage  `firestore:"usage,omitzero"`
	// UsageBundle names the bundle of usage by which the execution is counted. It is set with the end.
	UsageBundle string `firestore:"usageBundle,omitempty"`
	// UsageFence is changed so that a write of the end, whose outcome is unknown, cannot take effect any more.
	UsageFence string `firestore:"usageFence,omitempty"`

	// Files are the output files in the order of their paths. Their contents are in blob storage, under the number
	// of the newest attempt.
	Files []File `firestore:"files,omitempty"`
	// OmittedFileCount counts output files that were not stored: too many, too large, or not regular files.
	OmittedFileCount int `firestore:"omittedFileCount,omitempty"`

	// Network is what the newest attempt did in the network; nil: its environment has none.
	Network *NetworkUse `firestore:"network,omitempty"`
	// Workspace has the files that the newest attempt left in its working folder; nil: WorkspaceLost says why there are
	// none, or no attempt ran to its end.
	Workspace     *Workspace    `firestore:"workspace,omitempty"`
	WorkspaceLost WorkspaceLoss `firestore:"workspaceLost,omitempty"`

	// Receipt states how the job was isolated, as package receipt encodes it. Its bytes are signed, so they are
	// stored unchanged. Empty while there is none, and for an execution that ended without an attempt.
	Receipt string `firestore:"receipt,omitempty"`
	// NewSession is the agent's memory for the next turn; nil: the conversation keeps the one that it has.
	// SessionRejected means that the turn failed because of what it was given as memory. Both are stored with the
	// conversation, not in this document. So is Hold.
	NewSession      *AgentSession `firestore:"-"`
	SessionRejected bool          `firestore:"-"`
	Hold            *Hold         `firestore:"-"`

	// Holder is the process that had an agent waiting for this turn when it was accepted; empty: none.
	Holder string `firestore:"holder,omitempty"`

	// Steps are the newest steps of the newest attempt, at most MaxSteps. They are stored with its end.
	Steps []Step `firestore:"steps,omitempty"`

	// TranscriptBound is the longest that the tenant lets a transcript outlast its execution's end, as of the newest
	// claim; nil: as long as the execution is stored. Limits has what the agent asks for.
	TranscriptBound *time.Duration `firestore:"transcriptBound,omitempty"`
	// TranscriptExpiresAt is set with the end if the transcript is to be deleted before the execution. The janitor, which
	// finds it by this, replaces it by TranscriptDeletedAt.
	TranscriptExpiresAt *time.Time `firestore:"transcriptExpiresAt,omitempty"`
	TranscriptDeletedAt *time.Time `firestore:"transcriptDeletedAt,omitempty"`

	// Watchers are the processes that get a signal about the execution.
	Watchers Watchers `firestore:"watchers,omitzero"`

	CreatedAt  time.Time  `firestore:"createdAt"`
	QueuedAt   time.Time  `firestore:"queuedAt"`            // start of the wait for the newest attempt, after the back-off
	StartedAt  *time.Time `firestore:"startedAt,omitempty"` // of the newest attempt
	FinishedAt *time.Time `firestore:"finishedAt,omitempty"`
}

// Watchers are processes with an inbox.
type Watchers struct {
	Ends    []string `firestore:"ends,omitempty"`    // want to know of the end
	Changes []string `firestore:"changes,omitempty"` // want to know of every change of the status
}

// Lease is the right of one attempt to change the execution. It lasts until the session of its executor expires, or an
// event of the attempt ends it: nothing of the execution is written while it runs.
type Lease struct {
	Executor string `firestore:"executor"`
	// Session is the lease of the executor's process; see package fleet.
	Session string `firestore:"session"`
	ClaimID string `firestore:"claimId"` // unique for each claim
	// Dispatcher is the process that published the execution and wants to know of its end; empty: none.
	Dispatcher string `firestore:"dispatcher,omitempty"`
}

// DefaultMaxAttempts bounds how many attempts may fail because of Airlock. RetryPolicy bounds those whose job fails.
const DefaultMaxAttempts = 3

// Spec is what New makes an execution from.
type Spec struct {
	Tenant string
	Kind   Kind
	Task   Task
	Limits Limits
}

// New returns an execution that is accepted at now, queued, and ready to run.
func New(spec Spec, now time.Time) Execution {
	if spec.Limits.QueueTimeout == 0 {
		spec.Limits.QueueTimeout = DefaultQueueTimeout
	}
	executionID := id.New(id.Execution)
	e := Execution{
		ID: executionID, Shard: shard(executionID), Tenant: spec.Tenant, Kind: spec.Kind, Lane: LaneInteractive,
		Task: spec.Task, Limits: spec.Limits, MaxAttempts: DefaultMaxAttempts, CreatedAt: now,
	}
	e.requeue(now, 0)
	return e
}

// Shards is the number of ranges of the indexes of times across tenants. Firestore takes 500 writes a second into one
// ordered range. One query reads all ranges: Firestore allows 30 values.
const Shards = 16

// shard spreads executions evenly over the ranges. The ID may be replaced afterwards: nothing is found by its shard.
func shard(executionID string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(executionID)) // never fails
	return int(h.Sum32() % Shards)
}

// Ref returns the name of the execution.
func (e *Execution) Ref() Ref { return Ref{Tenant: e.Tenant, ID: e.ID} }
