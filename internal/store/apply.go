package store

import (
	"context"
	"errors"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/conversation"
	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/metrics"
	"github.com/airlock-run/airlock/internal/webhook"
)

// ErrNotItsTurn means that an earlier turn of the conversation has not ended.
// When it ends, the change announces the execution that this was about.
var ErrNotItsTurn = errors.New("an earlier turn of the conversation has not ended")

// changing names the fields that events change. The task is not among them, so
// that a heartbeat does not write the input again. Every write has an option of
// its own, because Google's client sorts its fields in place.
func changing() firestore.SetOption {
	return firestore.Merge(
		[]string{"status"}, []string{"attempt"}, []string{"tries"}, []string{"spent"}, []string{"queuedAt"}, []string{"lease"}, []string{"held"}, []string{"cancelRequested"}, []string{"due"},
		[]string{"result"}, []string{"error"}, []string{"usage"}, []string{"receipt"}, []string{"startedAt"}, []string{"finishedAt"},
		[]string{"files"}, []string{"leftOut"}, []string{"steps"},
	)
}

// Apply is the one way in which a stored execution changes: it reads, applies
// the event, and writes, in one transaction, together with what the change
// means for its conversation. An event that does not fit changes nothing and
// returns the domain's error (execution.ErrTerminal, ErrLeased, ErrLeaseLost,
// ErrTooLate, ErrNotDue) or ErrNotItsTurn. With ErrTerminal the change is that of the end, so
// that who lost the answer to an end can still tell of it.
func (s *Store) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	var ch execution.Change
	err := s.transact(ctx, func(tx *firestore.Transaction) error {
		ch = execution.Change{}
		e := &ch.Execution
		now, err := s.read(tx.Get, executions, ref.Owner, ref.ID, e)
		if err != nil {
			return err
		}
		before := e.Status
		if err := e.Apply(ev, now); err != nil {
			if errors.Is(err, execution.ErrTerminal) {
				ch.Announce, err = s.turnAfter(tx, e, err)
			}
			return err
		}
		if e.Ready {
			ch.Announce = append(ch.Announce, e.Ref())
		}
		if e.ConversationID != "" && (e.Status != before || e.Held) {
			next, err := s.applyToConversation(tx, e)
			if err != nil {
				return err
			}
			ch.Announce = append(ch.Announce, next...)
		}
		return errors.Join(
			tx.Set(s.collection(e.Owner, executions).Doc(e.ID), e, changing()),
			s.deliver(tx, webhook.OfExecution(e, now)),
		)
	})
	if err == nil && ch.Execution.Status.Terminal() {
		countEnd(&ch.Execution)
	}
	return ch, err
}

// countEnd counts each end at most once: not one whose commit was not answered.
func countEnd(e *execution.Execution) {
	code := ""
	if e.Failure != nil {
		code = string(e.Failure.Code)
	}
	metrics.Ended.WithLabelValues(string(e.Status), code, e.Task.Runtime, string(e.Lane)).Inc()
}

// applyToConversation keeps turns in order when e begins to run or would, but for a limit, and stores
// the reply when e has ended: there is never an ended turn without its reply.
// It returns the execution whose turn that makes it, if any.
func (s *Store) applyToConversation(tx *firestore.Transaction, e *execution.Execution) (next []execution.Ref, err error) {
	var c conversation.Conversation
	_, err = s.read(tx.Get, conversations, e.Owner, e.ConversationID, &c)
	if notFound := new(NotFoundError); errors.As(err, &notFound) {
		return nil, nil // it was deleted: there is no order to keep, and nobody to reply to
	}
	if err != nil {
		return nil, err
	}
	if (e.Status == execution.Running || e.Held) && !c.MayRun(e.ID) {
		return nil, ErrNotItsTurn
	}
	if !e.Status.Terminal() {
		return nil, nil
	}
	wasFirst := c.MayRun(e.ID)
	reply := c.Complete(e)
	if wasFirst {
		next = first(&c)
	}
	return next, errors.Join(
		tx.Create(s.message(c.Owner, c.ID, reply), &reply),
		tx.Set(s.collection(c.Owner, conversations).Doc(c.ID), &c),
		s.keepSession(tx, e),
	)
}

// turnAfter returns the turn that the end of e has made ready, and ended, the
// error that says so: whoever meets it may have made the end, and lost the answer.
func (s *Store) turnAfter(tx *firestore.Transaction, e *execution.Execution, ended error) ([]execution.Ref, error) {
	if e.ConversationID == "" {
		return nil, ended
	}
	var c conversation.Conversation
	var deleted *NotFoundError
	if _, err := s.read(tx.Get, conversations, e.Owner, e.ConversationID, &c); err != nil && !errors.As(err, &deleted) {
		return nil, err
	}
	return first(&c), ended
}

// first names the execution whose turn it is in the conversation.
func first(c *conversation.Conversation) []execution.Ref {
	if len(c.Pending) == 0 {
		return nil
	}
	return []execution.Ref{{Owner: c.Owner, ID: c.Pending[0]}}
}
