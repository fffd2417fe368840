package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

var (
	// ErrAgentMismatch means that a message names another agent than its conversation.
	ErrAgentMismatch = errors.New("the conversation belongs to another agent")
	// ErrEarlierTurnPending means that an earlier turn of the conversation is unfinished. The change that finishes it
	// names the execution of this turn in its Notify.
	ErrEarlierTurnPending = errors.New("an earlier turn of the conversation has not finished")
)

// NoConversationsError means that agents of the runtime take part in no conversation.
type NoConversationsError struct {
	Runtime string
	Builder bool // it is the runtime of the agent builder
}

func (e *NoConversationsError) Error() string {
	return fmt.Sprintf("agents of the runtime %q take part in no conversation", e.Runtime)
}

// TurnRequest asks for one turn of a conversation.
type TurnRequest struct {
	Tenant         string
	ConversationID string // empty: begin a conversation
	AgentID        string // empty: the conversation's agent, or the agent builder
	AgentVersion   int    // of the agent, for this turn; 0: the newest
	EnvironmentID  string // of this turn, in its newest version; empty: the agent's
	Message        string
	InputFiles     []execution.InputFile
	Builder        execution.Task // the task of the agent builder; its Input is replaced
	QueueTimeout   time.Duration  // 0: the default

	// Converses reports whether agents of a runtime take part in conversations; nil: all do.
	Converses func(runtime string) bool

	IdempotencyKey *IdempotencyKey // nil: none
	Place          Placer          // nil: the caller publishes it
}

// SubmitTurn stores a message and the execution that answers it in one transaction. The error is a NotFoundError if the
// tenant does not have the conversation, the agent or its version; else ErrAgentMismatch, a NoConversationsError,
// conversation.ErrTooManyPending, a MissingFilesError or a MissingEnvironmentError.
func (s *Store) SubmitTurn(ctx context.Context, t TurnRequest) (ch execution.Change, err error) {
	ref := execution.Ref{Tenant: t.Tenant, ID: id.New(id.Execution)}
	newConversationID := id.New(id.Conversation)
	err = s.createOnce(ctx, s.executionDoc(ref), t.IdempotencyKey, func(tx *firestore.Transaction) (Created, time.Time, error) {
		c, now, err := s.conversationForTurn(tx, t, newConversationID)
		if err != nil {
			return Created{}, now, err
		}
		builder := t.Builder
		builder.Input = t.Message
		e := execution.New(execution.Spec{
			Tenant: t.Tenant, Kind: execution.KindConversation, Task: builder,
			Limits: execution.Limits{Timeout: execution.DefaultTimeout, QueueTimeout: t.QueueTimeout},
		}, now)
		e.ID, e.ConversationID, e.Traceparent = ref.ID, c.ID, trace.Traceparent(ctx)
		var (
			stored Tenant
			a      = agent.Agent{Tenant: t.Tenant} // of the builder
		)
		if c.AgentID != "" {
			if stored, err = s.readWithTenant(tx.GetAll, t.Tenant, s.agentDoc(t.Tenant, c.AgentID), &a); err != nil {
				return Created{}, now, err
			}
			if a, err = s.pinAgent(tx.GetAll, a, t.AgentVersion); err != nil {
				return Created{}, now, err
			}
			e.AgentID, e.AgentVersion, e.Task, e.Limits = a.ID, a.Version, task(a, t.Message), limits(a, e.QueueTimeout)
		} else if t.AgentVersion != 0 {
			return Created{}, now, noAgentVersion(t.AgentVersion) // the builder has no versions
		} else if stored, err = s.tenantInTransaction(tx, t.Tenant); err != nil {
			return Created{}, now, err
		}
		if t.Converses != nil && !t.Converses(e.Task.Runtime) {
			return Created{}, now, &NoConversationsError{Runtime: e.Task.Runtime, Builder: c.AgentID == ""}
		}
		if e.Task.Environment, err = s.pinEnvironment(tx.GetAll, a, environment.VersionRef{ID: t.EnvironmentID}); err != nil {
			return Created{}, now, err
		}
		described, err := s.describeInputFiles(tx.GetAll, t.Tenant, t.InputFiles)
		if err != nil {
			return Created{}, now, err
		}
		e.Task.SetInputFiles(described)
		ch, err = s.acceptTurn(tx, &c, e, t.InputFiles, &stored.Tenant, t.Place, now)
		return createdExecution(&e), now, err
	})
	if err == nil {
		s.deliverCreated(&ch.Execution)
	}
	return ch, err
}

// conversationForTurn reads the conversation of a turn, or makes a new one.
func (s *Store) conversationForTurn(
	tx *firestore.Transaction, t TurnRequest, newID string,
) (conversation.Conversation, time.Time, error) {
	if t.ConversationID == "" {
		c := conversation.Conversation{ID: newID, Tenant: t.Tenant, AgentID: t.AgentID}
		now, err := transactionTime(tx, s.conversationDoc(c.Tenant, c.ID))
		return c, now, err
	}
	var c conversation.Conversation
	now, err := read(tx.Get, s.conversationDoc(t.Tenant, t.ConversationID), &c)
	if err == nil && t.AgentID != "" && t.AgentID != c.AgentID {
		err = ErrAgentMismatch
	}
	return c, now, err
}

// acceptTurn stores an execution as the newest turn of its conversation, together with the user's message.
func (s *Store) acceptTurn(
	tx *firestore.Transaction, c *conversation.Conversation, e execution.Execution, inputFiles []execution.InputFile,
	t *tenant.Tenant, place Placer, now time.Time,
) (execution.Change, error) {
	message, err := c.Accept(e.ID, e.Task.Input, now)
	if err != nil {
		return execution.Change{}, err
	}
	message.Files = e.Task.InputFileList
	if c.MayRun(e.ID) {
		e.Holder = c.HolderAt(now)
	}
	e.Turn = message.Turn
	if err := place.place(t, &e); err != nil {
		return execution.Change{}, err
	}
	if !c.MayRun(e.ID) {
		e.AwaitDispatcher() // the end of the earlier turn publishes it
	}
	ch := execution.Change{Execution: e, Notify: notificationOf(&e)}
	return ch, errors.Join(
		tx.Create(s.executionDoc(e.Ref()), &e),
		tx.Create(s.messageDoc(c, message), &message),
		tx.Set(s.conversationDoc(c.Tenant, c.ID), c),
		s.storeInputFiles(tx, e.Ref(), inputFiles),
		s.signalCreated(tx, &e),
	)
}

// decideTurn adds to a decision what the event means for the conversation. A turn may begin only if it is the next
// one. The end of a turn stores its reply, so a finished turn always has a reply.
//
// The first turn stays the first until it ends. So the conversation may be read without a transaction when a turn
// begins.
func (s *Store) decideTurn(get documentGetter, d *decision, now time.Time) error {
	e := &d.Execution
	var c conversation.Conversation
	_, err := read(get, s.conversationDoc(e.Tenant, e.ConversationID), &c)
	if isNotFound(err) {
		e.NewSession = nil
		return nil // the conversation was deleted: no order, no reply and no session are needed
	}
	if err != nil {
		return err
	}
	if e.Status == execution.Running && !c.MayRun(e.ID) {
		return ErrEarlierTurnPending
	}
	if !e.Status.Terminal() {
		return nil
	}
	wasNext := c.MayRun(e.ID)
	reply := c.Complete(e)
	if wasNext {
		next, err := s.nextTurn(get, &c)
		if err != nil {
			return err
		}
		d.Notify = append(d.Notify, next...)
		d.otherWrites = append(d.otherWrites, s.makeDue(next, now)...)
	}
	d.otherWrites = append(d.otherWrites, func(tx *firestore.Transaction) error {
		return errors.Join(
			tx.Create(s.messageDoc(&c, reply), &reply),
			tx.Set(s.conversationDoc(c.Tenant, c.ID), &c),
		)
	})
	return nil
}

// makeDue makes the next turn due like any execution whose notification may be lost. Until now it waited for the turn
// that has ended.
func (s *Store) makeDue(next []execution.Runnable, now time.Time) (writes []write) {
	for _, e := range next {
		writes = append(writes, func(tx *firestore.Transaction) error {
			return tx.Update(s.executionDoc(e.Ref), []firestore.Update{{Path: "due", Value: now.Add(execution.RenotifyInterval)}})
		})
	}
	return writes
}

// nextTurnAfter returns the turn that is next now that e has ended. The caller may have ended e and lost the response.
func (s *Store) nextTurnAfter(get documentGetter, e *execution.Execution) ([]execution.Runnable, error) {
	if e.ConversationID == "" {
		return nil, nil
	}
	var c conversation.Conversation
	if _, err := read(get, s.conversationDoc(e.Tenant, e.ConversationID), &c); err != nil && !isNotFound(err) {
		return nil, err
	}
	return s.nextTurn(get, &c)
}

// nextTurn returns the execution of the next turn of a conversation, if there is one. Its runtime may be another one
// than that of the turn before, because the agent may have been changed.
func (s *Store) nextTurn(get documentGetter, c *conversation.Conversation) ([]execution.Runnable, error) {
	id, ok := c.NextTurn()
	if !ok {
		return nil, nil
	}
	next := execution.Runnable{Ref: execution.Ref{Tenant: c.Tenant, ID: id}, Lane: execution.LaneInteractive}
	var d candidateDocument
	_, err := read(get, s.executionDoc(next.Ref), &d)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	next.Runtime = d.Task.Runtime
	return []execution.Runnable{next}, nil
}
