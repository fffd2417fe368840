package execution

import (
	"time"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Ending is how a job ended. Result is set exactly when Status is Succeeded, Failure exactly when it is not.
// Fields without a comment have the meaning that they have in Execution.
type Ending struct {
	Status      Status
	Result      *Result
	Failure     *Failure
	PartialText string        // empty with a Result
	StartDelay  time.Duration // see Attempt
	Usage       Usage         // of this attempt only
	Receipt     string        // of this attempt
	NewSession  *AgentSession // of a turn whose agent left one, with success or without
	// SessionRejected means that the turn failed because the agent could not begin with the session that it was given.
	SessionRejected  bool
	Hold             *Hold // of the newest turn of a conversation; nil: none
	Files            []File
	OmittedFileCount int
	Workspace        *Workspace
	WorkspaceLost    WorkspaceLoss
	Network          *NetworkUse
	Steps            []Step // nil: the steps of the last heartbeat stay
}

// NetworkUse is what a job sent to and received from the hosts of its environment.
type NetworkUse struct {
	Hosts []HostUse `firestore:"hosts,omitempty"` // by name; one without a name is the sum of all further ones
	// Refused are the hosts that the job asked for and did not reach, the first of them.
	Refused []string `firestore:"refused,omitempty"`
}

// HostUse is what went to one host.
type HostUse struct {
	Host        string `firestore:"host"`
	Connections int    `firestore:"connections"`
	Sent        int64  `firestore:"sent"` // bytes
	Received    int64  `firestore:"received"`
}

// Hold says that a process has an agent waiting for the next turn of a conversation.
type Hold struct {
	Process string
	For     time.Duration // from the end of the turn
}

// Result is the answer of a job.
type Result struct {
	// Text is the answer, or only its beginning if Complete is set.
	Text string `firestore:"text"`
	// Output is the structured answer, a JSON text; empty when there is none.
	Output string `firestore:"output,omitempty"`
	// AgentDraft is an agent that the builder proposes.
	AgentDraft *agent.Draft `firestore:"agentDraft,omitempty"`
	// Complete identifies the complete result in blob storage, if the result is larger than MaxResultBytes.
	// Output is then only there.
	Complete *Content `firestore:"complete,omitempty"`
}

// ExcerptBytes bounds the Text that the document of a larger result holds.
const ExcerptBytes = 64 << 10

// Large reports whether the result must go to blob storage.
func (r *Result) Large() bool { return len(r.Text)+len(r.Output) > MaxResultBytes }

// Truncate returns what the document holds of a result whose complete form is in blob storage.
func (r *Result) Truncate(complete Content) *Result {
	return &Result{Text: TruncateText(r.Text, ExcerptBytes), AgentDraft: r.AgentDraft, Complete: &complete}
}

// TruncateText returns the longest beginning of a text that has at most maxBytes bytes and ends between two letters.
func TruncateText(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	end := maxBytes
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
