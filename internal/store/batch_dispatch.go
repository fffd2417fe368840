package store

import (
	"context"
	"errors"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// DispatchBatch creates executions for the next inputs of a batch: as many as its share of the window allows and as one
// chunk holds. Inputs that are not in the store any more are skipped. An empty change means that there was nothing to
// dispatch. batch.ErrConflict means that another dispatcher has dispatched the batch at the same time.
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
		b.Skip(snapshot.first)
		if len(snapshot.inputs) == 0 {
			b.FinishOrReschedule(snapshot.inFlight, now)
		} else if created, err = b.Dispatch(snapshot.first, snapshot.inputs, now); err != nil {
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
	next     int // NextInput
	inFlight int // unfinished executions
	first    int // index of inputs[0]; inputs from next to first are not in the store
	inputs   []batch.Input
}

// inspectBatch counts the executions in flight, and reads the inputs that the batch's share has capacity for.
func (s *Store) inspectBatch(ctx context.Context, ref batch.Ref) (snapshot batchSnapshot, err error) {
	b, _, err := s.Batch(ctx, ref)
	if err != nil {
		return snapshot, err
	}
	snapshot.next, snapshot.first = b.NextInput, b.NextInput
	if snapshot.inFlight, err = s.countBatchExecutions(ctx, ref, execution.Queued, execution.Running); err != nil {
		return snapshot, err
	}
	active, err := s.activeBatches(ctx, ref.Tenant, b.Window)
	if err != nil {
		return snapshot, err
	}
	if n := b.Capacity(snapshot.inFlight, b.Share(active)); n > 0 {
		snapshot.first, snapshot.inputs, err = s.nextInputs(ctx, &b, n)
	}
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

// nextInputs returns at most n inputs from one chunk: the first ones that are stored from NextInput on, and the index
// of the first. Without any, first is the number of all inputs. Chunks are stored before their batch, so an input that
// is not stored, or that cannot be decoded, never will be. The transaction that creates the executions of one chunk has
// at most 9 MiB, of which 8 are copies of the agent's instructions. Firestore allows 10 MiB.
func (s *Store) nextInputs(ctx context.Context, b *batch.Batch, n int) (first int, inputs []batch.Input, err error) {
	for first = b.NextInput; first < b.Total; {
		stored, err := s.inputsFrom(ctx, b.Ref(), first)
		if err != nil {
			return 0, nil, err
		}
		if len(stored) > 0 {
			return first, stored[:min(n, len(stored))], nil
		}
		if first, err = s.nextChunk(ctx, b, first); err != nil {
			return 0, nil, err
		}
	}
	return first, nil, nil
}

// inputsFrom returns the inputs from index first to the end of its chunk. There are none if no chunk has it.
func (s *Store) inputsFrom(ctx context.Context, ref batch.Ref, first int) ([]batch.Input, error) {
	q := s.inputChunks(ref).Where("first", "<=", first).OrderBy("first", firestore.Desc).Limit(1)
	snaps, err := q.Documents(ctx).GetAll()
	if err != nil {
		return nil, translateError(err)
	}
	var chunk inputChunk
	if len(snaps) == 0 || snaps[0].DataTo(&chunk) != nil || first-chunk.First >= len(chunk.Inputs) {
		return nil, nil
	}
	return chunk.Inputs[first-chunk.First:], nil
}

// nextChunk returns the index of the first input of the next chunk, or the number of all inputs.
func (s *Store) nextChunk(ctx context.Context, b *batch.Batch, after int) (first int, err error) {
	q := s.inputChunks(b.Ref()).Where("first", ">", after).OrderBy("first", firestore.Asc).Limit(1).Select("first")
	found, err := list[inputChunk](ctx, q)
	if err != nil || len(found) == 0 {
		return b.Total, err
	}
	return min(found[0].First, b.Total), nil
}
