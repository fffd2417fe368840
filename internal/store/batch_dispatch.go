package store

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// DispatchBatch creates executions for the next inputs of a batch: as many as its share of the window allows and as one
// chunk holds. An empty change means that there was nothing to dispatch. batch.ErrConflict means that another
// dispatcher has dispatched the batch at the same time.
func (s *Store) DispatchBatch(ctx context.Context, ref batch.Ref) (b batch.Batch, ch execution.Change, err error) {
	snapshot, err := s.inspectBatch(ctx, ref)
	if err != nil {
		return b, ch, err
	}
	var created []execution.Execution
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		b, created = batch.Batch{}, nil
		now, err := read(tx.Get, s.batchDoc(ref), &b)
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
			if err := tx.Create(s.executionDoc(created[i].Ref()), &created[i]); err != nil {
				return err
			}
		}
		return errors.Join(tx.Set(s.batchDoc(ref), &b), s.createDelivery(tx, webhook.NewBatchDelivery(&b, now)))
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

// batchSnapshot is the state of a batch before the transaction of DispatchBatch.
type batchSnapshot struct {
	next     int // the first input without an execution
	inFlight int // unfinished executions
	inputs   []batch.Input
}

// inspectBatch counts the executions in flight, and reads the inputs that the batch's share has capacity for.
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
	snapshot.inputs, err = s.nextInputs(ctx, &b, b.Capacity(snapshot.inFlight, b.Share(active)))
	return snapshot, err
}

// activeBatches returns the IDs of the tenant's unfinished batches, the oldest first.
func (s *Store) activeBatches(ctx context.Context, tenant string, limit int) ([]string, error) {
	q := s.collection(tenant, batches).Where("finishedAt", "==", nil).OrderBy("createdAt", firestore.Asc).Limit(limit)
	found, err := listRefs[batch.Ref](ctx, q)
	active := make([]string, len(found))
	for i, ref := range found {
		active[i] = ref.ID
	}
	return active, err
}

// nextInputs returns at most n inputs from NextInput on, from one chunk. So the transaction that creates their
// executions has at most 9 MiB, of which 8 are copies of the agent's instructions. Firestore allows 10 MiB.
func (s *Store) nextInputs(ctx context.Context, b *batch.Batch, n int) ([]batch.Input, error) {
	if n == 0 {
		return nil, nil
	}
	q := s.inputChunks(b.Ref()).Where("first", "<=", b.NextInput).OrderBy("first", firestore.Desc).Limit(1)
	found, err := list[inputChunk](ctx, q)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || b.NextInput-found[0].First >= len(found[0].Inputs) {
		return nil, fmt.Errorf("batch %s has no input %d", b.ID, b.NextInput)
	}
	remaining := found[0].Inputs[b.NextInput-found[0].First:]
	return remaining[:min(n, len(remaining))], nil
}
