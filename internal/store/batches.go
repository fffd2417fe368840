package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/agent"
	"github.com/airlock-run/airlock/internal/batch"
	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/trace"
	"github.com/airlock-run/airlock/internal/webhook"
)

const (
	batches = "batches"
	inputs  = "inputs"
	uploads = "uploads"
)

// Bounds of one document of inputs: what Firestore takes, with room.
const (
	chunkInputs = 256
	chunkBytes  = 512 << 10
)

// chunk is a document of a batch's inputs.
type chunk struct {
	First  int           `firestore:"first"` // index of Inputs[0]
	Inputs []batch.Input `firestore:"inputs"`
}

// upload marks inputs that are not a batch yet, so that they are found if they
// never become one. It goes in the transaction that makes the batch.
type upload struct {
	ID        string    `firestore:"id"`
	Owner     string    `firestore:"owner"`
	CreatedAt time.Time `firestore:"createdAt,serverTimestamp"`
}

// Inputs takes the inputs of a batch that does not exist yet, and keeps no
// more than one chunk of them in memory.
type Inputs struct {
	store *Store
	batch batch.Ref
	chunk chunk
	bytes int
}

// NewInputs begins the inputs of a batch.
func (s *Store) NewInputs(ref batch.Ref) *Inputs { return &Inputs{store: s, batch: ref} }

// Add takes the next input.
func (in *Inputs) Add(ctx context.Context, input batch.Input) error {
	if len(in.chunk.Inputs) == chunkInputs || in.bytes+len(input.Text) > chunkBytes && in.bytes > 0 {
		if err := in.Flush(ctx); err != nil {
			return err
		}
	}
	in.chunk.Inputs = append(in.chunk.Inputs, input)
	in.bytes += len(input.Text)
	return nil
}

// Flush stores what was added since the last chunk.
func (in *Inputs) Flush(ctx context.Context) error {
	if len(in.chunk.Inputs) == 0 {
		return nil
	}
	if in.chunk.First == 0 {
		if _, err := in.store.upload(in.batch).Create(ctx, upload{ID: in.batch.ID, Owner: in.batch.Owner}); err != nil {
			return translate(err)
		}
	}
	doc := in.store.inputs(in.batch).Doc(fmt.Sprintf("%06d", in.chunk.First))
	if _, err := doc.Create(ctx, in.chunk); err != nil {
		return translate(err)
	}
	in.chunk = chunk{First: in.Len()}
	in.bytes = 0
	return nil
}

// Len is how many inputs were added.
func (in *Inputs) Len() int { return in.chunk.First + len(in.chunk.Inputs) }

// Drop removes what was stored, for a batch that is not to be.
func (in *Inputs) Drop(ctx context.Context) error {
	docs, err := in.store.inputs(in.batch).Documents(ctx).GetAll()
	if err != nil {
		return translate(err)
	}
	for _, doc := range docs {
		if _, err := doc.Ref.Delete(ctx); err != nil {
			return translate(err)
		}
	}
	_, err = in.store.upload(in.batch).Delete(ctx)
	return translate(err)
}

func (s *Store) upload(b batch.Ref) *firestore.DocumentRef {
	return s.collection(b.Owner, uploads).Doc(b.ID)
}

func (s *Store) inputs(b batch.Ref) *firestore.CollectionRef {
	return s.collection(b.Owner, batches).Doc(b.ID).Collection(inputs)
}

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
// the window has room for and one chunk holds, and announces them. It looks first
// at how many are in flight, and which batches share. An empty change means that there was nothing to feed.
func (s *Store) FeedBatch(ctx context.Context, ref batch.Ref) (batch.Batch, execution.Change, error) {
	var b batch.Batch
	if _, err := s.read(outside(ctx), batches, ref.Owner, ref.ID, &b); err != nil {
		return b, execution.Change{}, err
	}
	inFlight, err := s.countBatch(ctx, ref, execution.Queued, execution.Running)
	if err != nil {
		return b, execution.Change{}, err
	}
	active, err := s.activeBatches(ctx, ref.Owner, b.Window)
	if err != nil {
		return b, execution.Change{}, err
	}
	next := b.Next
	fresh, err := s.nextInputs(ctx, ref, next, b.Room(inFlight, b.Share(active)))
	if err != nil {
		return b, execution.Change{}, err
	}
	var made []execution.Execution
	err = s.transact(ctx, func(tx *firestore.Transaction) error {
		now, err := s.read(tx.Get, batches, ref.Owner, ref.ID, &b)
		if err != nil {
			return err
		}
		if b.Next != next || b.FinishedAt != nil {
			return batch.ErrMoved
		}
		if len(fresh) == 0 {
			made = nil
			b.Look(inFlight, now)
		} else if made, err = b.Feed(next, fresh, now); err != nil {
			return err
		}
		for i := range made {
			if err := tx.Create(s.collection(ref.Owner, executions).Doc(made[i].ID), &made[i]); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.Set(s.collection(ref.Owner, batches).Doc(ref.ID), &b),
			s.deliver(tx, webhook.OfBatch(&b, now)),
		)
	})
	if err != nil || len(made) == 0 {
		return b, execution.Change{}, err
	}
	ch := execution.Change{Execution: made[0]}
	for i := range made {
		ch.Announce = append(ch.Announce, made[i].Ref())
	}
	return b, ch, nil
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

// feedBytes bounds the inputs of one transaction, which may have 10 MiB.
const feedBytes = 4 << 20

// nextInputs returns at most n inputs from index next on, of one chunk.
func (s *Store) nextInputs(ctx context.Context, ref batch.Ref, next, n int) ([]batch.Input, error) {
	if n == 0 {
		return nil, nil
	}
	q := s.inputs(ref).Where("first", "<=", next).OrderBy("first", firestore.Desc).Limit(1)
	found, err := list[chunk](ctx, q)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || next-found[0].First >= len(found[0].Inputs) {
		return nil, fmt.Errorf("batch %s has no input %d", ref.ID, next)
	}
	rest := found[0].Inputs[next-found[0].First:]
	size := 0
	for i := range rest {
		if size += len(rest[i].Text); i == n || size > feedBytes && i > 0 {
			return rest[:i], nil
		}
	}
	return rest, nil
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
