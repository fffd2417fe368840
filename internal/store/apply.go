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
var ErrNotItsTurn = errors.New("an earlier turn of the conversation has not ended")

// decision is what an event means: for its execution, and for other documents,
// which are then written together with it.
type decision struct {
	execution.Change
	before  execution.Execution // as it is stored
	version time.Time           // of what is stored, Firestore's update time
	others  []write
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
	d, err := s.applyAlone(ctx, ref, ev)
	if err == nil && len(d.others) > 0 {
		d, err = s.applyTogether(ctx, ref, ev)
	}
	if err == nil && d.Execution.Status.Terminal() {
		countEnd(&d.Execution)
	}
	return d.Change, err
}

// applyAlone carries out what concerns no other document, which is nearly all
// there is. It writes on the condition that the execution is still as it was
// read: for one document that is what a transaction is for several, for two
// calls instead of three. Who was overtaken decides again.
func (s *Store) applyAlone(ctx context.Context, ref execution.Ref, ev execution.Event) (decision, error) {
	var tried *decision
	for {
		d, err := s.decide(outside(ctx), ref, ev)
		if tried != nil && !d.version.IsZero() && len(changes(&d.before, &tried.Execution)) == 0 {
			return *tried, nil // nobody overtook: it was written, and the answer lost
		}
		if err != nil || len(d.others) > 0 {
			return d, err
		}
		changed := changes(&d.before, &d.Execution)
		if len(changed) == 0 {
			return d, nil
		}
		_, err = s.execution(ref).Update(ctx, changed, firestore.LastUpdateTime(d.version))
		if code := status.Code(err); code != codes.FailedPrecondition && code != codes.NotFound {
			return d, translate(err)
		}
		tried = &d
	}
}

// applyTogether does the same for any number of documents.
func (s *Store) applyTogether(ctx context.Context, ref execution.Ref, ev execution.Event) (d decision, err error) {
	err = s.transact(ctx, func(tx *firestore.Transaction) error {
		if d, err = s.decide(tx.Get, ref, ev); err != nil {
			return err
		}
		for _, w := range d.others {
			if err := w(tx); err != nil {
				return err
			}
		}
		changed := changes(&d.before, &d.Execution)
		if len(changed) == 0 {
			return nil // it has become so since it was looked at
		}
		return tx.Update(s.execution(ref), changed)
	})
	return d, err
}

func (s *Store) decide(get reader, ref execution.Ref, ev execution.Event) (d decision, err error) {
	e := &d.Execution
	now, version, err := s.readVersion(get, executions, ref.Owner, ref.ID, e)
	if err != nil {
		return d, err
	}
	d.before, d.version = *e, version
	if err := e.Apply(ev, now); err != nil {
		if errors.Is(err, execution.ErrTerminal) {
			d.Announce, err = s.turnAfter(get, e, err)
		}
		return d, err
	}
	if e.Ready {
		d.Announce = append(d.Announce, e.Ref())
	}
	if e.ConversationID != "" && (e.Status != d.before.Status || e.Held) {
		if err := s.decideConversation(get, &d); err != nil {
			return d, err
		}
	}
	if told := webhook.OfExecution(e, now); told != nil {
		d.others = append(d.others, func(tx *firestore.Transaction) error { return s.deliver(tx, told) })
	}
	return d, nil
}

func (s *Store) execution(ref execution.Ref) *firestore.DocumentRef {
	return s.collection(ref.Owner, executions).Doc(ref.ID)
}

// countEnd counts each end at most once: not one whose commit was not answered.
func countEnd(e *execution.Execution) {
	code := ""
	if e.Failure != nil {
		code = string(e.Failure.Code)
	}
	metrics.Ended.WithLabelValues(string(e.Status), code, e.Task.Runtime, string(e.Lane)).Inc()
}

// decideConversation keeps turns in order when an execution begins to run or
// would, but for a limit, and stores the reply when it has ended: there is never
// an ended turn without its reply. The first turn stays the first until it ends,
// so that may be read before.
func (s *Store) decideConversation(get reader, d *decision) error {
	e := &d.Execution
	var c conversation.Conversation
	_, err := s.read(get, conversations, e.Owner, e.ConversationID, &c)
	if notFound := new(NotFoundError); errors.As(err, &notFound) {
		return nil // it was deleted: there is no order to keep, and nobody to reply to
	}
	if err != nil {
		return err
	}
	if (e.Status == execution.Running || e.Held) && !c.MayRun(e.ID) {
		return ErrNotItsTurn
	}
	if !e.Status.Terminal() {
		return nil
	}
	wasFirst := c.MayRun(e.ID)
	reply := c.Complete(e)
	if wasFirst {
		d.Announce = append(d.Announce, first(&c)...)
	}
	d.others = append(d.others, func(tx *firestore.Transaction) error {
		return errors.Join(
			tx.Create(s.message(c.Owner, c.ID, reply), &reply),
			tx.Set(s.collection(c.Owner, conversations).Doc(c.ID), &c),
			s.keepSession(tx, e),
		)
	})
	return nil
}

// turnAfter returns the turn that the end of e has made ready, and ended, the
// error that says so: whoever meets it may have made the end, and lost the answer.
func (s *Store) turnAfter(get reader, e *execution.Execution, ended error) ([]execution.Ref, error) {
	if e.ConversationID == "" {
		return nil, ended
	}
	var c conversation.Conversation
	var deleted *NotFoundError
	if _, err := s.read(get, conversations, e.Owner, e.ConversationID, &c); err != nil && !errors.As(err, &deleted) {
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
