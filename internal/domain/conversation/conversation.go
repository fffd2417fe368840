// Package conversation defines a conversation: its turns, their order, its messages, and the builder of agents.
//
// In: messages of the user, and executions that have ended. Out: the messages to store, the execution that may run
// next, and the history for an agent. The package never reads a clock or a database: the caller passes Firestore's
// time.
package conversation

import (
	"time"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Conversation is a sequence of turns with one agent, or with the agent builder when AgentID is empty. Its Firestore
// document is this struct; the messages are documents below it.
type Conversation struct {
	ID      string `firestore:"id"`
	Tenant  string `firestore:"tenant"`
	AgentID string `firestore:"agentId,omitempty"`
	Title   string `firestore:"title"` // the beginning of the first message
	Turns   int    `firestore:"turns"` // turns accepted so far

	// Pending holds the executions of the unfinished turns in order. Only the first may run.
	Pending []string `firestore:"pending"`

	// Session is the agent's memory after the newest turn that left one; nil: none did.
	Session *execution.AgentSession `firestore:"session,omitempty"`
	// SessionRejected means that the newest turn with Session failed because of it, as it seems. The next turn begins
	// with the messages instead.
	SessionRejected bool `firestore:"sessionRejected,omitempty"`

	// Workspace has the files with which the next turn begins: those of the newest turn that left any; nil: none.
	Workspace *execution.Workspace `firestore:"workspace,omitempty"`

	// Holder is the process that has an agent waiting for the next turn, until HeldUntil; empty: none. It is a hint.
	Holder    string    `firestore:"holder,omitempty"`
	HeldUntil time.Time `firestore:"heldUntil,omitzero"`

	CreatedAt time.Time `firestore:"createdAt"`
	UpdatedAt time.Time `firestore:"updatedAt"`
}

// HolderAt returns the process that has an agent waiting for the next turn at a time; empty: none.
func (c *Conversation) HolderAt(now time.Time) string {
	if now.Before(c.HeldUntil) {
		return c.Holder
	}
	return ""
}

// Message is one message of a turn: the user's, or the reply to it.
type Message struct {
	Turn        int                `firestore:"turn"` // counts from 1
	Role        execution.Role     `firestore:"role"`
	Text        string             `firestore:"text"`
	Files       []execution.File   `firestore:"files,omitempty"`     // the user's input files of the turn
	Truncated   bool               `firestore:"truncated,omitempty"` // the complete text is the execution's result
	AgentDraft  *agent.Draft       `firestore:"agentDraft,omitempty"`
	Failure     *execution.Failure `firestore:"error,omitempty"`   // of a reply: why there is no answer
	Partial     string             `firestore:"partial,omitempty"` // with Failure: what the agent had said
	ExecutionID string             `firestore:"executionId"`
	CreatedAt   time.Time          `firestore:"createdAt"`
}

// title returns the first line of a text, cut to what a list can show.
func title(text string) string {
	const maxRunes = 80
	for i, r := range []rune(text) {
		if r == '\n' || r == '\r' || i == maxRunes {
			return string([]rune(text)[:i])
		}
	}
	return text
}
