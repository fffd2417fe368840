package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

const batches = "batches"

// SubmitBatch makes the batch of inputs that were flushed before. From then on
// it is durable, and due. NotFoundError: the owner has no such agent.
func (s *Store) SubmitBatch(ctx context.Context, b *batch.Batch) error {
	_, err := create(ctx, s, func(tx *firestore.Transaction) (batch.Batch, time.Time, error) {
		var a agent.Agent
		now, err := s.read(tx.Get, agents, b.Owner, b.AgentID, &a)
		if err != nil {
			return *b, now, err
		}
		b.Task, b.Limits = task(a, ""), limits(a, b.QueueTimeout)
		b.CreatedAt, b.Due, b.Traceparent = now, &now, trace.Parent(ctx)
		return *b, now, errors.Join(tx.Create(s.collection(b.Owner, batches).Doc(b.ID), b), tx.Delete(s.upload(b.Ref())))
	})
	return err
}

// FeedBatch makes executions of the next inputs, as many as the batch's share of
// the window has room for and one chunk holds, and announces them. An empty
// change means that there was nothing to feed; batch.ErrMoved, that somebody
// else has fed it since this looked.
func (s *Store) FeedBatch(ctx context.Context, ref batch.Ref) (b batch.Batch, ch execution.Change, err error) {
	seen, err := s.lookAtBatch(ctx, ref)
	if err != nil {
		return b, ch, err
	}
	var made []execution.Execution
	err = s.transact(ctx, func(tx *firestore.Transaction) error {
		b, made = batch.Batch{}, nil
		now, err := s.read(tx.Get, batches, ref.Owner, ref.ID, &b)
		if err != nil {
			return err
		}
		if b.Next != seen.next || b.FinishedAt != nil {
			return batch.ErrMoved
		}
		if len(seen.fresh) == 0 {
			b.Look(seen.inFlight, now)
		} else if made, err = b.Feed(seen.next, seen.fresh, now); err != nil {
			return err
		}
		for i := range made {
			if err := tx.Create(s.execution(made[i].Ref()), &made[i]); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.Set(s.collection(ref.Owner, batches).Doc(ref.ID), &b),
			s.deliver(tx, webhook.OfBatch(&b, now)),
		)
	})
	if err != nil || len(made) == 0 {
		return b, ch, err
	}
	ch.Execution = made[0]
	for i := range made {
		ch.Announce = append(ch.Announce, made[i].Ref())
	}
	return b, ch, nil
}

// batchLook is what was seen of a batch, before the transaction that goes by it.
type batchLook struct {
	next     int // the first input that had no execution
	inFlight int // executions that had not ended
	fresh    []batch.Input
}

// lookAtBatch counts what of a batch is in flight, and reads the inputs that its share has room for.
func (s *Store) lookAtBatch(ctx context.Context, ref batch.Ref) (seen batchLook, err error) {
	b, _, err := s.Batch(ctx, ref)
	if err != nil {
		return seen, err
	}
	seen.next = b.Next
	if seen.inFlight, err = s.countBatch(ctx, ref, execution.Queued, execution.Running); err != nil {
		return seen, err
	}
	active, err := s.activeBatches(ctx, ref.Owner, b.Window)
	if err != nil {
		return seen, err
	}
	seen.fresh, err = s.nextInputs(ctx, ref, b.Next, b.Room(seen.inFlight, b.Share(active)))
	return seen, err
}

// activeBatches returns the IDs of the owner's batches that have not ended, the oldest first.
func (s *Store) activeBatches(ctx context.Context, owner string, limit int) ([]string, error) {
	q := s.collection(owner, batches).Where("finishedAt", "==", nil).OrderBy("createdAt", firestore.Asc).Limit(limit)
	found, err := list[batch.Ref](ctx, q.Select("id"))
	active := make([]string, len(found))
	for i, ref := range found {
		active[i] = ref.ID
	}
	return active, err
}

// countBatch counts the batch's executions of some statuses.
func (s *Store) countBatch(ctx context.Context, ref batch.Ref, statuses ...execution.Status) (int, error) {
	q := s.collection(ref.Owner, executions).Where("batchId", "==", ref.ID).Where("status", "in", statuses)
	return count(ctx, q)
}

// Batch returns the owner's batch, or a NotFoundError, and Firestore's time.
func (s *Store) Batch(ctx context.Context, ref batch.Ref) (batch.Batch, time.Time, error) {
	var b batch.Batch
	now, err := s.read(outside(ctx), batches, ref.Owner, ref.ID, &b)
	return b, now, err
}

// DueBatches returns batches of all owners that the feeder has to look at.
func (s *Store) DueBatches(ctx context.Context, now time.Time, limit int) ([]batch.Ref, error) {
	q := s.client.CollectionGroup(batches).Where("due", "<=", now).OrderBy("due", firestore.Asc).Limit(limit)
	return list[batch.Ref](ctx, q.Select("owner", "id"))
}

// CancelBatch keeps a batch from making further executions. Those in flight
// are the feeder's to cancel. execution.ErrTerminal: it has ended.
func (s *Store) CancelBatch(ctx context.Context, ref batch.Ref) (batch.Batch, error) {
	var b batch.Batch
	err := s.transact(ctx, func(tx *firestore.Transaction) error {
		b = batch.Batch{}
		now, err := s.read(tx.Get, batches, ref.Owner, ref.ID, &b)
		if err != nil {
			return err
		}
		if err := b.Cancel(now); err != nil {
			return err
		}
		return tx.Set(s.collection(ref.Owner, batches).Doc(ref.ID), &b)
	})
	return b, err
}

// BatchInFlight returns executions of a batch that have not ended and that
// nobody has asked to cancel.
func (s *Store) BatchInFlight(ctx context.Context, ref batch.Ref, limit int) ([]execution.Ref, error) {
	q := s.collection(ref.Owner, executions).
		Where("batchId", "==", ref.ID).
		Where("status", "in", []execution.Status{execution.Queued, execution.Running}).
		Where("cancelRequested", "==", false).Limit(limit)
	return list[execution.Ref](ctx, q.Select("owner", "id"))
}

// BatchCounts counts the executions of a batch by status, and sums their cost in US dollars.
func (s *Store) BatchCounts(ctx context.Context, ref batch.Ref) (map[execution.Status]int, float64, error) {
	counts := map[execution.Status]int{}
	for _, status := range []execution.Status{
		execution.Queued, execution.Running, execution.Succeeded, execution.Failed, execution.TimedOut, execution.Canceled,
	} {
		n, err := s.countBatch(ctx, ref, status)
		if err != nil {
			return nil, 0, err
		}
		counts[status] = n
	}
	cost, err := sum(ctx, s.collection(ref.Owner, executions).Where("batchId", "==", ref.ID), "usage.costUsd")
	return counts, cost, err
}

// BatchExecutions returns the executions of the inputs from first on, in input
// order, at most limit. An input that has no execution yet ends them.
func (s *Store) BatchExecutions(ctx context.Context, b *batch.Batch, first, limit int) ([]execution.Execution, error) {
	var refs []*firestore.DocumentRef
	for i := first; i < b.Next && len(refs) < limit; i++ {
		refs = append(refs, s.collection(b.Owner, executions).Doc(b.ExecutionID(i)))
	}
	if len(refs) == 0 {
		return nil, nil
	}
	snaps, err := s.client.GetAll(ctx, refs)
	if err != nil {
		return nil, translate(err)
	}
	found := make([]execution.Execution, 0, len(snaps))
	for _, snap := range snaps {
		if !snap.Exists() {
			break
		}
		var e execution.Execution
		if err := snap.DataTo(&e); err != nil {
			return nil, fmt.Errorf("document %s: %w", snap.Ref.Path, err)
		}
		found = append(found, e)
	}
	return found, nil
}
