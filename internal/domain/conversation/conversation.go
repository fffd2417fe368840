// Package conversation says what a conversation is, keeps its turns in order,
// and makes a reply of what an execution ended with.
package conversation

import (
	"errors"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// MaxPending is how many turns of one conversation may wait or run at once.
const MaxPending = 32

// MaxHistory is how many of the newest messages an agent is given.
const MaxHistory = 200

// maxHistoryBytes bounds their texts together; older turns are left out first.
const maxHistoryBytes = 1 << 20

// ErrTooManyPending means that MaxPending turns are waiting already.
var ErrTooManyPending = errors.New("too many turns of the conversation are waiting")

// Conversation is a sequence of turns with one agent, or with the builder of
// agents when AgentID is empty. Its Firestore document is this struct; the
// messages are documents below it.
type Conversation struct {
	ID      string `firestore:"id"`
	Tenant  string `firestore:"tenant"`
	AgentID string `firestore:"agentId,omitempty"`
	Title   string `firestore:"title"` // the beginning of the first message
	Turns   int    `firestore:"turns"` // turns accepted so far

	// Pending holds the executions of the turns that have not ended, in order.
	// Only the first may run: that is the whole of the ordering.
	Pending []string `firestore:"pending"`

	CreatedAt time.Time `firestore:"createdAt"`
	UpdatedAt time.Time `firestore:"updatedAt"`
}

// Message is one message of a turn: the user's, or the reply to it.
type Message struct {
	Turn        int                `firestore:"turn"` // counts from 1
	Role        execution.Role     `firestore:"role"`
	Text        string             `firestore:"text"`
	Truncated   bool               `firestore:"truncated,omitempty"` // all of it is the execution's result
	AgentDraft  *agent.Draft       `firestore:"agentDraft,omitempty"`
	Failure     *execution.Failure `firestore:"error,omitempty"` // a reply that says why there is no answer
	ExecutionID string             `firestore:"executionId"`
	CreatedAt   time.Time          `firestore:"createdAt"`
}

// Accept adds a turn and returns the message that opens it, or ErrTooManyPending.
func (c *Conversation) Accept(executionID, text string, now time.Time) (Message, error) {
	if len(c.Pending) >= MaxPending {
		return Message{}, ErrTooManyPending
	}
	if c.Turns == 0 {
		c.Title = title(text)
		c.CreatedAt = now
	}
	c.Turns++
	c.Pending = append(c.Pending, executionID)
	c.UpdatedAt = now
	return Message{Turn: c.Turns, Role: execution.RoleUser, Text: text, ExecutionID: executionID, CreatedAt: now}, nil
}

// MayRun reports whether it is this execution's turn.
func (c *Conversation) MayRun(executionID string) bool {
	return len(c.Pending) > 0 && c.Pending[0] == executionID
}

// Complete takes the turn of an execution that has ended off Pending and
// returns the reply to store with it.
func (c *Conversation) Complete(e *execution.Execution) Message {
	c.Pending = slices.DeleteFunc(c.Pending, func(id string) bool { return id == e.ID })
	c.UpdatedAt = *e.FinishedAt
	reply := Message{
		Turn: e.Turn, Role: execution.RoleAssistant, Failure: e.Failure, ExecutionID: e.ID, CreatedAt: *e.FinishedAt,
	}
	if e.Result != nil {
		reply.Text, reply.Truncated = e.Result.Text, e.Result.Complete != nil
		reply.AgentDraft = e.Result.AgentDraft
	}
	return reply
}

// History returns the newest turns that were answered, as an agent is given
// them, oldest first. A turn that failed is left out whole: it has a question
// but no answer. messages are in order.
func History(messages []Message) []execution.Message {
	var history []execution.Message
	remainingBytes := maxHistoryBytes
	for i := len(messages) - 1; i > 0; i-- {
		question, reply := messages[i-1], messages[i]
		if question.Turn != reply.Turn || reply.Role != execution.RoleAssistant || reply.Failure != nil {
			continue
		}
		if remainingBytes -= len(question.Text) + len(reply.Text); remainingBytes < 0 {
			break
		}
		history = append(history,
			execution.Message{Role: reply.Role, Text: reply.Text},
			execution.Message{Role: question.Role, Text: question.Text})
	}
	slices.Reverse(history)
	return history
}

// title is the first line of a text, cut to what a list can show.
func title(text string) string {
	const most = 80 // letters
	for i, r := range []rune(text) {
		if r == '\n' || r == '\r' || i == most {
			return string([]rune(text)[:i])
		}
	}
	return text
}
