package conversation

import (
	"errors"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// MaxPending bounds the unfinished turns of one conversation.
const MaxPending = 32

// ErrTooManyPending means that MaxPending turns are unfinished.
var ErrTooManyPending = errors.New("too many turns of the conversation are pending")

// Accept adds a turn and returns the user's message, or ErrTooManyPending.
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

// NextTurn returns the execution of the only turn that may run: the earliest unfinished one. ok is false if all turns
// have finished.
func (c *Conversation) NextTurn() (executionID string, ok bool) {
	if len(c.Pending) == 0 {
		return "", false
	}
	return c.Pending[0], true
}

// MayRun reports whether the turn of this execution is the next one.
func (c *Conversation) MayRun(executionID string) bool {
	next, ok := c.NextTurn()
	return ok && next == executionID
}

// Complete removes the turn of an execution that has ended from Pending and returns the reply to store. The session
// that the turn left replaces the one before; a turn that left none keeps that. If a turn failed because of its
// session, the next one begins with the messages: otherwise every later turn would fail too. If that one fails in the
// same way, the session was not the cause, and is used again.
func (c *Conversation) Complete(e *execution.Execution) Message {
	if e.Workspace != nil {
		c.Workspace = e.Workspace
	}
	switch {
	case e.SessionRejected:
		c.SessionRejected = !c.SessionRejected
	case e.NewSession != nil:
		c.Session, c.SessionRejected = e.NewSession, false
	}
	c.Holder, c.HeldUntil = "", time.Time{}
	if e.Hold != nil {
		c.Holder, c.HeldUntil = e.Hold.Process, e.FinishedAt.Add(e.Hold.For)
	}
	c.Pending = slices.DeleteFunc(c.Pending, func(executionID string) bool { return executionID == e.ID })
	c.UpdatedAt = *e.FinishedAt
	reply := Message{
		Turn: e.Turn, Role: execution.RoleAssistant, Failure: e.Failure, ExecutionID: e.ID, CreatedAt: *e.FinishedAt,
		Partial: e.PartialText,
	}
	if e.Result != nil {
		reply.Text, reply.Truncated = e.Result.Text, e.Result.Complete != nil
		reply.AgentDraft = e.Result.AgentDraft
	}
	return reply
}
