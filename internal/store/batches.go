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
// it is durable, and due. NotFoundError: the tenant has no such agent. The key may be nil.
func (s *Store) SubmitBatch(ctx context.Context, b *batch.Batch, key *IdempotencyKey) error {
	return s.createOnce(ctx, b.Tenant, key, func(tx *firestore.Transaction) (Created, time.Time, error) {
		var a agent.Agent
		now, err := s.read(tx.Get, agents, b.Tenant, b.AgentID, &a)
		if err != nil {
			return Created{}, now, err
		}
		b.Task, b.Limits = task(a, ""), limits(a, b.QueueTimeout)
		b.CreatedAt, b.Due, b.Traceparent = now, &now, trace.Traceparent(ctx)
		return Created{Batch: b}, now, errors.Join(tx.Create(s.collection(b.Tenant, batches).Doc(b.ID), b), tx.Delete(s.upload(b.Ref())))
	})
}

// FeedBatch makes executions of the next inputs, as many as the batch's share of
// the window has room for and one chunk holds, and announces them. An empty
// change means that there was nothing to feed; batch.ErrMoved, that somebody
// else has fed it since this looked.
func (s *Store) DispatchBatch(ctx context.Context, ref batch.Ref) (b batch.Batch, ch execution.Change, err error) {
	snapshot, err := s.inspectBatch(ctx, ref)
	if err != nil {
		return b, ch, err
	}
	var created []execution.Execution
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		b, created = batch.Batch{}, nil
		now, err := s.read(tx.Get, batches, ref.Tenant, ref.ID, &b)
		if err != nil {
			return err
		}
		if b.NextInput != snapshot.next || b.FinishedAt != nil {
			return batch.ErrConflict
		}
		if len(snapshot.inputs) == 0 {
			b.FinishOrReschedule(snapshot.inFlight, now)
		} else if created, err = b.Dispatch(snapshot.next, snapshot.inputs, now); err != nil {
			return err
		}
		for i := range created {
			if err := tx.Create(s.execution(created[i].Ref()), &created[i]); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.Set(s.collection(ref.Tenant, batches).Doc(ref.ID), &b),
			s.createDelivery(tx, webhook.NewBatchDelivery(&b, now)),
		)
	})
	if err != nil || len(created) == 0 {
		return b, ch, err
	}
	ch.Execution = created[0]
	for i := range created {
		ch.Notify = append(ch.Notify, created[i].Ref())
	}
	return b, ch, nil
}

// batchLook is what was seen of a batch, before the transaction that goes by it.
type batchSnapshot struct {
	next     int // the first input that had no execution
	inFlight int // executions that had not ended
	inputs   []batch.Input
}

// lookAtBatch counts what of a batch is in flight, and reads the inputs that its share has room for.
func (s *Store) inspectBatch(ctx context.Context, ref batch.Ref) (snapshot batchSnapshot, err error) {
	b, _, err := s.Batch(ctx, ref)
	if err != nil {
		return snapshot, err
	}
	snapshot.next = b.NextInput
	if snapshot.inFlight, err = s.countBatchExecutions(ctx, ref, execution.Queued, execution.Running); err != nil {
		return snapshot, err
	}
	active, err := s.activeBatches(ctx, ref.Tenant, b.Window)
	if err != nil {
		return snapshot, err
	}
	snapshot.inputs, err = s.nextInputs(ctx, ref, b.NextInput, b.Capacity(snapshot.inFlight, b.Share(active)))
	return snapshot, err
}

// activeBatches returns the IDs of the tenant's batches that have not ended, the oldest first.
func (s *Store) activeBatches(ctx context.Context, tenant string, limit int) ([]string, error) {
	q := s.collection(tenant, batches).Where("finishedAt", "==", nil).OrderBy("createdAt", firestore.Asc).Limit(limit)
	found, err := list[batch.Ref](ctx, q.Select("id"))
	active := make([]string, len(found))
	for i, ref := range found {
		active[i] = ref.ID
	}
	return active, err
}

// countBatch counts the batch's executions of some statuses.
func (s *Store) countBatchExecutions(ctx context.Context, ref batch.Ref, statuses ...execution.Status) (int, error) {
	q := s.collection(ref.Tenant, executions).Where("batchId", "==", ref.ID).Where("status", "in", statuses)
	return count(ctx, q)
}

// Batch returns the tenant's batch, or a NotFoundError, and Firestore's time.
func (s *Store) Batch(ctx context.Context, ref batch.Ref) (batch.Batch, time.Time, error) {
	var b batch.Batch
	now, err := s.read(withoutTransaction(ctx), batches, ref.Tenant, ref.ID, &b)
	return b, now, err
}

// DueBatches returns batches of all tenants that the feeder has to look at.
func (s *Store) DueBatches(ctx context.Context, now time.Time, limit int) ([]batch.Ref, error) {
	q := s.client.CollectionGroup(batches).Where("due", "<=", now).OrderBy("due", firestore.Asc).Limit(limit)
	return list[batch.Ref](ctx, q.Select("tenant", "id"))
}

// CancelBatch keeps a batch from making further executions. Those in flight
// are the feeder's to cancel. execution.ErrTerminal: it has ended.
func (s *Store) CancelBatch(ctx context.Context, ref batch.Ref) (batch.Batch, error) {
	var b batch.Batch
	err := s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		b = batch.Batch{}
		now, err := s.read(tx.Get, batches, ref.Tenant, ref.ID, &b)
		if err != nil {
			return err
		}
		if err := b.Cancel(now); err != nil {
			return err
		}
		return tx.Set(s.collection(ref.Tenant, batches).Doc(ref.ID), &b)
	})
	return b, err
}

// BatchInFlight returns executions of a batch that have not ended and that
// nobody has asked to cancel.
func (s *Store) BatchInFlight(ctx context.Context, ref batch.Ref, limit int) ([]execution.Ref, error) {
	q := s.collection(ref.Tenant, executions).
		Where("batchId", "==", ref.ID).
		Where("status", "in", []execution.Status{execution.Queued, execution.Running}).
		Where("cancelRequested", "==", false).Limit(limit)
	return list[execution.Ref](ctx, q.Select("tenant", "id"))
}

// BatchCounts counts the executions of a batch by status, and sums their cost in US dollars.
func (s *Store) BatchCounts(ctx context.Context, ref batch.Ref) (map[execution.Status]int, float64, error) {
	counts := map[execution.Status]int{}
	for _, status := range []execution.Status{
		execution.Queued, execution.Running, execution.Succeeded, execution.Failed, execution.TimedOut, execution.Canceled,
	} {
		n, err := s.countBatchExecutions(ctx, ref, status)
		if err != nil {
			return nil, 0, err
		}
		counts[status] = n
	}
	cost, err := sum(ctx, s.collection(ref.Tenant, executions).Where("batchId", "==", ref.ID), "usage.costUsd")
	return counts, cost, err
}

// BatchExecutions returns the executions of the inputs from first on, in input
// order, at most limit. An input that has no execution yet ends them.
func (s *Store) BatchExecutions(ctx context.Context, b *batch.Batch, first, limit int) ([]execution.Execution, error) {
	var refs []*firestore.DocumentRef
	for i := first; i < b.NextInput && len(refs) < limit; i++ {
		refs = append(refs, s.collection(b.Tenant, executions).Doc(b.ExecutionID(i)))
	}
	if len(refs) == 0 {
		return nil, nil
	}
	snaps, err := s.client.GetAll(ctx, refs)
	if err != nil {
		return nil, translateError(err)
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
