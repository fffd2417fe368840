// Package execution is the domain: what an execution is, which states it goes
// through, and who may change it. It knows no database, queue or container.
package execution

import (
	"time"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// Kind says what asked for the execution.
type Kind string

// The kinds there are.
const (
	KindConversation Kind = "conversation" // one turn of a conversation
	KindRun          Kind = "run"          // one run of an agent
)

// Ref names an execution. There is no reading of one without its tenant.
type Ref struct {
	Tenant string `firestore:"tenant" json:"tenant"`
	ID     string `firestore:"id" json:"executionId"`
}

// Execution is one piece of work from its acceptance to its end. Every fact
// about it is here; its Firestore document is this struct. All times are
// Firestore's, never this machine's.
type Execution struct {
	ID     string `firestore:"id"`
	Tenant string `firestore:"tenant"`
	Kind   Kind   `firestore:"kind"`
	Status Status `firestore:"status"`
	Lane   Lane   `firestore:"lane"` // in which it waits to run

	AgentID        string `firestore:"agentId,omitempty"`
	ConversationID string `firestore:"conversationId,omitempty"`
	Turn           int    `firestore:"turn,omitempty"` // of the conversation, counts from 1
	BatchID        string `firestore:"batchId,omitempty"`
	RetryOf        string `firestore:"retryOf,omitempty"` // the execution that this one repeats
	Webhook        string `firestore:"webhook,omitempty"` // URL that is told of the end

	// Traceparent (W3C) is of the request by which it was accepted; its attempts
	// are part of that trace, whoever announced it. Empty: each begins its own.
	Traceparent string `firestore:"traceparent,omitempty"`
	// TraceLink is likewise of what it comes from: the execution that it repeats,
	// or the request that made its batch, which is too many for one trace.
	TraceLink string `firestore:"traceLink,omitempty"`

	Labels []Label `firestore:"labels,omitempty"` // of the caller, in the order of their names

	Task Task `firestore:"task"`
	Limits

	Attempt         int    `firestore:"attempt,omitempty"`         // number of the newest attempt; 0 before the first
	RetriedFailures int    `firestore:"retriedFailures,omitempty"` // attempts that ended in a failure of the job's own that may pass
	FailedAttempts  int    `firestore:"failedAttempts,omitempty"`  // attempts that ended in an infrastructure failure
	MaxAttempts     int    `firestore:"maxAttempts"`               // Spent never passes this
	Lease           *Lease `firestore:"lease,omitempty"`           // non-nil exactly while running

	// Held tells that the execution, which is queued, waits for a limit of its tenant.
	Throttled bool `firestore:"throttled,omitempty"`

	// CancelRequested tells the executor that holds the lease to end the job.
	CancelRequested bool `firestore:"cancelRequested"`

	// Due is when the janitor has to look if nothing has changed until then;
	// nil once the execution is terminal. It is all that "nothing waits for
	// ever" needs: whatever gets stuck, gets due.
	Due *time.Time `firestore:"due,omitempty"`

	// Ready tells that the newest event has made the execution one that may
	// run at once. It is not part of the document.
	Ready bool `firestore:"-"`

	Result  *Result  `firestore:"result,omitempty"`
	Failure *Failure `firestore:"error,omitempty"`
	Usage   Usage    `firestore:"usage,omitzero"`

	// Files are what the job left, in the order of their paths; their contents
	// are in blob storage under the number of the newest attempt.
	Files []File `firestore:"files,omitempty"`
	// LeftOut is how many more it left that were not kept: too many, too large, or no plain files.
	OmittedFileCount int `firestore:"omittedFileCount,omitempty"`

	// Receipt says how the job was kept apart, as package receipt writes it, to
	// the byte; empty while there is none, and for what ended without an attempt.
	Receipt string `firestore:"receipt,omitempty"`
	// Left is what the agent wants to find at the conversation's next turn. It
	// is stored with the conversation and is not part of the document.
	NewSession *Session `firestore:"-"`

	// Steps are the newest that the newest attempt was seen to do, at most
	// MaxSteps. They are known a heartbeat late at the most.
	Steps []Step `firestore:"steps,omitempty"`

	CreatedAt  time.Time  `firestore:"createdAt"`
	QueuedAt   time.Time  `firestore:"queuedAt"`            // from when on it waited for its newest attempt, its pause over
	StartedAt  *time.Time `firestore:"startedAt,omitempty"` // of the newest attempt
	FinishedAt *time.Time `firestore:"finishedAt,omitempty"`
}

// Task is what the agent is asked to do, complete: what is edited elsewhere
// after the execution was accepted does not change it.
type Task struct {
	Runtime      string `firestore:"runtime"`
	Model        string `firestore:"model,omitempty"` // empty: the runtime's default
	Instructions string `firestore:"instructions,omitempty"`
	Input        string `firestore:"input"`

	// Schema is a JSON Schema that the structured answer must follow; empty: a plain answer.
	Schema string `firestore:"schema,omitempty"`

	// Files lists what the run is given; Given is that, and is read when the
	// task is claimed, like History.
	InputFileList []File      `firestore:"inputFiles,omitempty"`
	InputFiles    []InputFile `firestore:"-"`

	// Budget is the agent's; the operator's holds besides.
	Budget agent.Budget `firestore:"budget,omitzero"`

	// History holds the earlier messages of the conversation. It is read when
	// the task is claimed and is not part of the document.
	History []Message `firestore:"-"`
	// Session is what the turn before left, if that may be known; it is read
	// like History, and holds the same and more.
	Session *Session `firestore:"-"`
}

// Session is an agent's own memory of a conversation. Only an agent of the same
// runtime and model can go on from it.
type Session struct {
	Runtime string `firestore:"runtime"`
	Model   string `firestore:"model"`
	Data    []byte `firestore:"data"`
}

// MaxSession bounds Session.Data, in bytes: a Firestore document holds 1 MiB.
const MaxSessionBytes = 700 << 10

// Message is one message of a conversation as an agent is given it.
type Message struct {
	Role Role
	Text string
}

// Role says who wrote a message.
type Role string

// The roles there are.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
)

// Lease is the right of one attempt to write, until it runs out.
type Lease struct {
	Executor string    `firestore:"executor"`
	ClaimID  string    `firestore:"claimId"` // that began it, unique
	Expires  time.Time `firestore:"expires"`
}

// Result is what the job answered.
type Result struct {
	// Text is the answer; with Whole, no more than its beginning.
	Text string `firestore:"text"`
	// Output is the structured answer, a JSON text; empty when there is none.
	Output string `firestore:"output,omitempty"`
	// AgentDraft is an agent that a conversation proposes to create.
	AgentDraft *agent.Draft `firestore:"agentDraft,omitempty"`
	// Whole is all of a result that is larger than MaxResult, in blob storage.
	// Output is then there only.
	Complete *Content `firestore:"complete,omitempty"`
}

// MaxResult bounds Text and Output together where they are in a document, in
// bytes: a Firestore document holds 1 MiB, and a reply is kept in two.
const MaxResultBytes = 512 << 10

// Beginning is what a document keeps of the Text of a larger result, in bytes.
const ExcerptBytes = 64 << 10

// Large reports whether the result has to go to blob storage.
func (r *Result) Large() bool { return len(r.Text)+len(r.Output) > MaxResultBytes }

// Shortened is the result as a document keeps it once all of it is in blob storage.
func (r *Result) Truncate(complete Content) *Result {
	end := min(len(r.Text), ExcerptBytes)
	for end < len(r.Text) && !utf8.RuneStart(r.Text[end]) {
		end--
	}
	return &Result{Text: r.Text[:end], AgentDraft: r.AgentDraft, Complete: &complete}
}

// Usage is what the provider counted, as the gateway saw it pass. That of an
// execution is of all attempts that could still say what they had used.
type Usage struct {
	InputTokens  int64   `firestore:"inputTokens"`
	OutputTokens int64   `firestore:"outputTokens"`
	CostUSD      float64 `firestore:"costUsd"`
	Calls        int64   `firestore:"calls"`
}

func (u Usage) add(o Usage) Usage {
	return Usage{
		InputTokens: u.InputTokens + o.InputTokens, OutputTokens: u.OutputTokens + o.OutputTokens,
		CostUSD: u.CostUSD + o.CostUSD, Calls: u.Calls + o.Calls,
	}
}

// Lane is a queue of its own, so that a batch never makes a person wait.
type Lane string

// The lanes there are.
const (
	LaneInteractive Lane = "interactive" // conversations and single runs
	LaneBatch       Lane = "batch"
)

// Ref names the execution.
func (e *Execution) Ref() Ref { return Ref{Tenant: e.Tenant, ID: e.ID} }

// DefaultMaxAttempts is how often an execution is tried while Airlock's own
// parts fail. How often while the job itself does, its Limits say.
const DefaultMaxAttempts = 3

// New returns a queued execution as it is accepted at now, ready to run.
func New(tenant string, kind Kind, task Task, limits Limits, now time.Time) Execution {
	if limits.QueueTimeout == 0 {
		limits.QueueTimeout = DefaultQueueTimeout
	}
	e := Execution{
		ID: id.New(id.Execution), Tenant: tenant, Kind: kind, Lane: LaneInteractive,
		Task: task, Limits: limits, MaxAttempts: DefaultMaxAttempts, CreatedAt: now,
	}
	e.requeue(now, 0)
	return e
}
