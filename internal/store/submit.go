package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// ErrOtherAgent means that a message names an agent other than its conversation's.
var ErrAgentMismatch = errors.New("the conversation is held with another agent")

// Run is a request to run an agent once.
type RunRequest struct {
	Tenant     string
	AgentID    string
	Input      string
	Labels     []execution.Label
	InputFiles []execution.InputFile
	Webhook    string // that is told of the end; "": none

	Timeout      time.Duration // 0: the agent's
	QueueTimeout time.Duration // 0: the default

	IdempotencyKey *IdempotencyKey // nil: none
}

// SubmitRun stores a run as a queued execution. Once it returns nil the
// execution is durable. NotFoundError: the tenant has no such agent.
func (s *Store) SubmitRun(ctx context.Context, r RunRequest) (ch execution.Change, err error) {
	if r.IdempotencyKey == nil && len(r.InputFiles) == 0 {
		return s.submitRunWithoutTransaction(ctx, r)
	}
	err = s.createOnce(ctx, r.Tenant, r.IdempotencyKey, func(tx *firestore.Transaction) (Created, time.Time, error) {
		e, err := s.newRun(ctx, tx.Get, r)
		if err != nil {
			return Created{}, time.Time{}, err
		}
		ch = execution.Change{Execution: e, Notify: []execution.Ref{e.Ref()}}
		return createdExecution(&e), e.CreatedAt, errors.Join(
			tx.Create(s.execution(e.Ref()), &e),
			s.storeInputFiles(tx, e.Ref(), r.InputFiles),
		)
	})
	return ch, err
}

// submitRunAlone stores a run that is one document, which needs no transaction:
// the agent is taken as it was read.
func (s *Store) submitRunWithoutTransaction(ctx context.Context, r RunRequest) (execution.Change, error) {
	e, err := s.newRun(ctx, withoutTransaction(ctx), r)
	if err != nil {
		return execution.Change{}, err
	}
	_, err = s.execution(e.Ref()).Create(ctx, &e)
	if status.Code(err) == codes.AlreadyExists {
		err = nil // its ID is random: it was stored, and the answer lost
	}
	return execution.Change{Execution: e, Notify: []execution.Ref{e.Ref()}}, translateError(err)
}

// newRun makes the execution that a request is for.
func (s *Store) newRun(ctx context.Context, get documentGetter, r RunRequest) (execution.Execution, error) {
	var a agent.Agent
	now, err := s.read(get, agents, r.Tenant, r.AgentID, &a)
	if err != nil {
		return execution.Execution{}, err
	}
	e := execution.New(execution.Spec{
		Tenant: r.Tenant, Kind: execution.KindRun, Task: task(a, r.Input), Limits: limits(a, r.QueueTimeout),
	}, now)
	e.AgentID, e.Labels, e.Webhook, e.Traceparent = a.ID, r.Labels, r.Webhook, trace.Traceparent(ctx)
	e.Task.InputFileList = execution.DescribeInputFiles(r.InputFiles)
	if r.Timeout != 0 {
		e.Timeout = r.Timeout
	}
	return e, nil
}

// Turn is a request to add a message to a conversation.
type TurnRequest struct {
	Tenant         string
	ConversationID string // "": begin one
	AgentID        string // "": the conversation's, or the builder
	Message        string
	Builder        execution.Task // what the builder's turns run; its Input is replaced
	QueueTimeout   time.Duration  // 0: the default

	IdempotencyKey *IdempotencyKey // nil: none
}

// SubmitTurn stores a message, and the execution that is to answer it, in one
// transaction. NotFoundError: the tenant has no such conversation or agent;
// ErrOtherAgent; conversation.ErrTooManyPending.
func (s *Store) SubmitTurn(ctx context.Context, t TurnRequest) (ch execution.Change, err error) {
	err = s.createOnce(ctx, t.Tenant, t.IdempotencyKey, func(tx *firestore.Transaction) (Created, time.Time, error) {
		c, now, err := s.conversationForTurn(tx, t)
		if err != nil {
			return Created{}, now, err
		}
		builder := t.Builder
		builder.Input = t.Message
		e := execution.New(execution.Spec{
			Tenant: t.Tenant, Kind: execution.KindConversation, Task: builder,
			Limits: execution.Limits{Timeout: execution.DefaultTimeout, QueueTimeout: t.QueueTimeout},
		}, now)
		e.ConversationID, e.Traceparent = c.ID, trace.Traceparent(ctx)
		if c.AgentID != "" {
			var a agent.Agent
			if _, err := s.read(tx.Get, agents, t.Tenant, c.AgentID, &a); err != nil {
				return Created{}, now, err
			}
			e.AgentID, e.Task, e.Limits = a.ID, task(a, t.Message), limits(a, e.QueueTimeout)
		}
		ch, err = s.acceptTurn(tx, &c, e, now)
		return createdExecution(&e), now, err
	})
	return ch, err
}

// acceptTurn stores an execution as the newest turn of its conversation,
// together with the message that it is to answer.
func (s *Store) acceptTurn(tx *firestore.Transaction, c *conversation.Conversation, e execution.Execution, now time.Time) (execution.Change, error) {
	message, err := c.Accept(e.ID, e.Task.Input, now)
	if err != nil {
		return execution.Change{}, err
	}
	e.Turn = message.Turn
	ch := execution.Change{Execution: e}
	if c.MayRun(e.ID) {
		ch.Notify = []execution.Ref{e.Ref()}
	}
	return ch, errors.Join(
		tx.Create(s.collection(e.Tenant, executions).Doc(e.ID), &e),
		tx.Create(s.message(c.Tenant, c.ID, message), &message),
		tx.Set(s.collection(c.Tenant, conversations).Doc(c.ID), c),
	)
}

// conversationOf reads the conversation that a turn continues, or makes the one that it begins.
func (s *Store) conversationForTurn(tx *firestore.Transaction, t TurnRequest) (conversation.Conversation, time.Time, error) {
	if t.ConversationID == "" {
		c := conversation.Conversation{ID: id.New(id.Conversation), Tenant: t.Tenant, AgentID: t.AgentID}
		now, err := s.transactionTime(tx, conversations, t.Tenant, c.ID)
		return c, now, err
	}
	var c conversation.Conversation
	now, err := s.read(tx.Get, conversations, t.Tenant, t.ConversationID, &c)
	if err == nil && t.AgentID != "" && t.AgentID != c.AgentID {
		err = ErrAgentMismatch
	}
	return c, now, err
}

func (s *Store) message(tenant, conversationID string, m conversation.Message) *firestore.DocumentRef {
	return s.collection(tenant, conversations).Doc(conversationID).Collection(messages).
		Doc(fmt.Sprintf("%06d-%s", m.Turn, m.Role))
}

func task(a agent.Agent, input string) execution.Task {
	return execution.Task{Runtime: a.Runtime, Model: a.Model, Instructions: a.Instructions, Input: input, Budget: a.Budget}
}

func limits(a agent.Agent, queueTimeout time.Duration) execution.Limits {
	return execution.Limits{Timeout: a.Timeout, QueueTimeout: queueTimeout, RetryPolicy: a.RetryPolicy}
}
