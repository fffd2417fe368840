package store

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// ErrNotItsTurn means that an earlier turn of the conversation has not ended.
// When it ends, the change announces the execution that this was about.
var ErrEarlierTurnPending = errors.New("an earlier turn of the conversation has not ended")

// decision is what an event means: for its execution, and for other documents,
// which are then written together with it.
type decision struct {
	execution.Change
	before      execution.Execution // as it is stored
	version     time.Time           // of what is stored, Firestore's update time
	otherWrites []write
}

type write func(*firestore.Transaction) error

// Apply is the one way in which a stored execution changes: it reads, applies
// the event, and writes what that has changed, together with what it means for
// the conversation and for who wants to be told. In between, nobody else has
// written. An event that does not fit changes nothing and returns the domain's
// error (execution.ErrTerminal, ErrLeased, ErrLeaseLost, ErrTooLate, ErrNotDue)
// or ErrNotItsTurn. With ErrTerminal the change is that of the end, so that who
// lost the answer to an end can still tell of it.
func (s *Store) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	d, err := s.applyToDocument(ctx, ref, ev)
	if err == nil && len(d.otherWrites) > 0 {
		d, err = s.applyInTransaction(ctx, ref, ev)
	}
	if err == nil && d.Execution.Status.Terminal() {
		countFinished(&d.Execution)
	}
	return d.Change, err
}

// applyAlone carries out what concerns no other document, which is nearly all
// there is. It writes on the condition that the execution is still as it was
// read: for one document that is what a transaction is for several, for two
// calls instead of three. Who was overtaken decides again.
func (s *Store) applyToDocument(ctx context.Context, ref execution.Ref, ev execution.Event) (decision, error) {
	var lastAttempt *decision
	for {
		d, err := s.decide(withoutTransaction(ctx), ref, ev)
		if lastAttempt != nil && !d.version.IsZero() && len(diffExecution(&d.before, &lastAttempt.Execution)) == 0 {
			return *lastAttempt, nil // nobody overtook: it was written, and the answer lost
		}
		if err != nil || len(d.otherWrites) > 0 {
			return d, err
		}
		updates := diffExecution(&d.before, &d.Execution)
		if len(updates) == 0 {
			return d, nil
		}
		_, err = s.execution(ref).Update(ctx, updates, firestore.LastUpdateTime(d.version))
		if code := status.Code(err); code != codes.FailedPrecondition && code != codes.NotFound {
			return d, translateError(err)
		}
		lastAttempt = &d
	}
}

// applyTogether does the same for any number of documents.
func (s *Store) applyInTransaction(ctx context.Context, ref execution.Ref, ev execution.Event) (d decision, err error) {
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		if d, err = s.decide(tx.Get, ref, ev); err != nil {
			return err
		}
		for _, w := range d.otherWrites {
			if err := w(tx); err != nil {
				return err
			}
		}
		updates := diffExecution(&d.before, &d.Execution)
		if len(updates) == 0 {
			return nil // it has become so since it was looked at
		}
		return tx.Update(s.execution(ref), updates)
	})
	return d, err
}

func (s *Store) decide(get documentGetter, ref execution.Ref, ev execution.Event) (d decision, err error) {
	e := &d.Execution
	now, version, err := s.readVersion(get, executions, ref.Tenant, ref.ID, e)
	if err != nil {
		return d, err
	}
	d.before, d.version = *e, version
	if err := e.Apply(ev, now); err != nil {
		if errors.Is(err, execution.ErrTerminal) {
			d.Notify, err = s.nextTurnAfter(get, e, err)
		}
		return d, err
	}
	if e.Ready {
		d.Notify = append(d.Notify, e.Ref())
	}
	if e.ConversationID != "" && (e.Status != d.before.Status || e.Throttled) {
		if err := s.decideConversation(get, &d); err != nil {
			return d, err
		}
	}
	if delivery := webhook.NewExecutionDelivery(e, now); delivery != nil {
		d.otherWrites = append(d.otherWrites, func(tx *firestore.Transaction) error { return s.createDelivery(tx, delivery) })
	}
	return d, nil
}

func (s *Store) execution(ref execution.Ref) *firestore.DocumentRef {
	return s.collection(ref.Tenant, executions).Doc(ref.ID)
}

// countEnd counts each end at most once: not one whose commit was not answered.
func countFinished(e *execution.Execution) {
	code := ""
	if e.Failure != nil {
		code = string(e.Failure.Code)
	}
	metrics.ExecutionsFinished.WithLabelValues(string(e.Status), code, e.Task.Runtime, string(e.Lane)).Inc()
}

// decideConversation keeps turns in order when an execution begins to run or
// would, but for a limit, and stores the reply when it has ended: there is never
// an ended turn without its reply. The first turn stays the first until it ends,
// so that may be read before.
func (s *Store) decideConversation(get documentGetter, d *decision) error {
	e := &d.Execution
	var c conversation.Conversation
	_, err := s.read(get, conversations, e.Tenant, e.ConversationID, &c)
	if notFound := new(NotFoundError); errors.As(err, &notFound) {
		return nil // it was deleted: there is no order to keep, and nobody to reply to
	}
	if err != nil {
		return err
	}
	if (e.Status == execution.Running || e.Throttled) && !c.MayRun(e.ID) {
		return ErrEarlierTurnPending
	}
	if !e.Status.Terminal() {
		return nil
	}
	wasNext := c.MayRun(e.ID)
	reply := c.Complete(e)
	if wasNext {
		d.Notify = append(d.Notify, nextTurn(&c)...)
	}
	d.otherWrites = append(d.otherWrites, func(tx *firestore.Transaction) error {
		return errors.Join(
			tx.Create(s.message(c.Tenant, c.ID, reply), &reply),
			tx.Set(s.collection(c.Tenant, conversations).Doc(c.ID), &c),
			s.storeSession(tx, e),
		)
	})
	return nil
}

// turnAfter returns the turn that the end of e has made ready, and ended, the
// error that says so: whoever meets it may have made the end, and lost the answer.
func (s *Store) nextTurnAfter(get documentGetter, e *execution.Execution, terminalErr error) ([]execution.Ref, error) {
	if e.ConversationID == "" {
		return nil, terminalErr
	}
	var c conversation.Conversation
	var notFound *NotFoundError
	if _, err := s.read(get, conversations, e.Tenant, e.ConversationID, &c); err != nil && !errors.As(err, &notFound) {
		return nil, err
	}
	return nextTurn(&c), terminalErr
}

// first names the execution whose turn it is in the conversation.
func nextTurn(c *conversation.Conversation) []execution.Ref {
	if len(c.Pending) == 0 {
		return nil
	}
	return []execution.Ref{{Tenant: c.Tenant, ID: c.Pending[0]}}
}
