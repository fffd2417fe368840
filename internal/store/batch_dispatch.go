package store

import (
	"context"
	"errors"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// DispatchBatch creates executions for the next inputs of a batch: as many as one chunk holds. They wait for the
// dispatcher. Inputs that are not in the store any more are skipped. A batch without more inputs, or a canceled one,
// ends if none of its executions is in flight. batch.ErrConflict means that another dispatcher has dispatched the batch
// at the same time, or that it has finished.
func (s *Store) DispatchBatch(ctx context.Context, ref batch.Ref) (b batch.Batch, created []execution.Ref, err error) {
	snapshot, err := s.inspectBatch(ctx, ref)
	if err != nil {
		return b, nil, err
	}
	var executions []execution.Execution
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		b, executions = batch.Batch{}, nil
		now, err := read(tx.Get, s.batchDoc(ref), &b)
		if err != nil {
			return err
		}
		if b.NextInput != snapshot.next || b.FinishedAt != nil {
			return batch.ErrConflict
		}
		b.Skip(snapshot.first)
		if len(snapshot.inputs) == 0 {
			b.FinishIfDone(snapshot.inFlight, now)
		} else if executions, err = b.Dispatch(snapshot.first, snapshot.inputs, now); err != nil {
			return err
		}
		if b.NextInput == snapshot.next && b.FinishedAt == nil {
			return nil
		}
		for i := range executions {
			e := &executions[i]
			if err := errors.Join(tx.Create(s.executionDoc(e.Ref()), e), s.signalCreated(tx, e)); err != nil {
				return err
			}
		}
		updates := []firestore.Update{{Path: "nextInput", Value: b.NextInput}, {Path: "finishedAt", Value: b.FinishedAt}}
		if b.LostInputs > 0 {
			updates = append(updates, firestore.Update{Path: "lostInputs", Value: b.LostInputs})
		}
		return errors.Join(tx.Update(s.batchDoc(ref), updates), s.createDelivery(tx, webhook.NewBatchDelivery(&b, now)))
	})
	if err != nil {
		return b, nil, err
	}
	for _, e := range executions {
		s.deliverCreated(&e)
		created = append(created, e.Ref())
	}
	return b, created, nil
}

// batchSnapshot is the state of a batch before the transaction of DispatchBatch.
type batchSnapshot struct {
	next     int // NextInput
	inFlight int // unfinished executions; counted only if there are no inputs
	first    int // index of inputs[0]; inputs from next to first are not in the store
	inputs   []batch.Input
}

// inspectBatch reads the next inputs, or counts the executions in flight if there are none.
func (s *Store) inspectBatch(ctx context.Context, ref batch.Ref) (snapshot batchSnapshot, err error) {
	b, _, err := s.Batch(ctx, ref)
	if err != nil {
		return snapshot, err
	}
	snapshot.next, snapshot.first = b.NextInput, b.NextInput
	if !b.Exhausted() {
		snapshot.first, snapshot.inputs, err = s.nextInputs(ctx, &b)
	}
	if err == nil && len(snapshot.inputs) == 0 {
		snapshot.inFlight, err = s.countBatchExecutions(ctx, ref, execution.Queued, execution.Running)
	}
	return snapshot, err
}

// ActiveBatch is what the dispatcher knows about an unfinished batch.
type ActiveBatch struct {
	ID              string
	Tenant          string
	Runtime         string
	CancelRequested bool
}

// Ref returns the name of the batch.
func (b ActiveBatch) Ref() batch.Ref { return batch.Ref{Tenant: b.Tenant, ID: b.ID} }

// maxActiveBatches bounds how many batches of a tenant are dispatched at the same time. The youngest wait.
const maxActiveBatches = 200

// ActiveBatches returns the tenant's unfinished batches, the oldest first. It reads only their names if a document
// cannot be decoded.
func (s *Store) ActiveBatches(ctx context.Context, tenant string) ([]ActiveBatch, error) {
	q := s.collection(tenant, batches).Where("finishedAt", "==", nil).OrderBy("createdAt", firestore.Asc).
		Limit(maxActiveBatches).Select("createdAt", "cancelRequested", "task.runtime")
	snaps, err := q.Documents(ctx).GetAll()
	if err != nil {
		return nil, translateError(err)
	}
	active := make([]ActiveBatch, len(snaps))
	for i, snap := range snaps {
		var fields struct {
			CancelRequested bool           `firestore:"cancelRequested"`
			Task            execution.Task `firestore:"task"`
		}
		_ = snap.DataTo(&fields)
		active[i] = ActiveBatch{ID: snap.Ref.ID, Tenant: tenant, Runtime: fields.Task.Runtime, CancelRequested: fields.CancelRequested}
	}
	return active, nil
}

// nextInputs returns inputs from one chunk: the first ones that are stored from NextInput on, and the index
// of the first. Without any, first is the number of all inputs. Chunks are stored before their batch, so an input that
// is not stored, or that cannot be decoded, never will be. The transaction that creates the executions of one chunk has
// at most 9 MiB, of which 8 are copies of the agent's instructions. Firestore allows 10 MiB.
func (s *Store) nextInputs(ctx context.Context, b *batch.Batch) (first int, inputs []batch.Input, err error) {
	for first = b.NextInput; first < b.Total; {
		stored, err := s.inputsFrom(ctx, b.Ref(), first)
		if err != nil {
			return 0, nil, err
		}
		if len(stored) > 0 {
			return first, stored, nil
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
