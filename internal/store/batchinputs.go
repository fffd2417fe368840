package store

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/batch"
)

const (
	inputs  = "inputs"
	uploads = "uploads"
)

// Bounds of one document of inputs: what Firestore takes, with room.
const (
	maxChunkInputs = 256
	maxChunkBytes  = 512 << 10
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
	Tenant    string    `firestore:"tenant"`
	CreatedAt time.Time `firestore:"createdAt,serverTimestamp"`
}

// Inputs takes the inputs of a batch that does not exist yet, and keeps no
// more than one chunk of them in memory.
type BatchInputWriter struct {
	store *Store
	batch batch.Ref
	chunk chunk
	bytes int
}

// NewInputs begins the inputs of a batch.
func (s *Store) NewBatchInputWriter(ref batch.Ref) *BatchInputWriter {
	return &BatchInputWriter{store: s, batch: ref}
}

// Add takes the next input.
func (in *BatchInputWriter) Add(ctx context.Context, input batch.Input) error {
	if len(in.chunk.Inputs) == maxChunkInputs || in.bytes+len(input.Text) > maxChunkBytes && in.bytes > 0 {
		if err := in.Flush(ctx); err != nil {
			return err
		}
	}
	in.chunk.Inputs = append(in.chunk.Inputs, input)
	in.bytes += len(input.Text)
	return nil
}

// Flush stores what was added since the last chunk.
func (in *BatchInputWriter) Flush(ctx context.Context) error {
	if len(in.chunk.Inputs) == 0 {
		return nil
	}
	if in.chunk.First == 0 {
		if _, err := in.store.upload(in.batch).Create(ctx, upload{ID: in.batch.ID, Tenant: in.batch.Tenant}); err != nil {
			return translateError(err)
		}
	}
	doc := in.store.inputs(in.batch).Doc(fmt.Sprintf("%06d", in.chunk.First))
	if _, err := doc.Create(ctx, in.chunk); err != nil {
		return translateError(err)
	}
	in.chunk = chunk{First: in.Len()}
	in.bytes = 0
	return nil
}

// Len is how many inputs were added.
func (in *BatchInputWriter) Len() int { return in.chunk.First + len(in.chunk.Inputs) }

// Drop removes what was stored, for a batch that is not to be.
func (in *BatchInputWriter) Delete(ctx context.Context) error {
	docs, err := in.store.inputs(in.batch).Select().Documents(ctx).GetAll() // their names; they may hold 256 MiB
	if err != nil {
		return translateError(err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentDeletes)
	for _, doc := range docs {
		g.Go(func() error {
			_, err := doc.Ref.Delete(gctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return translateError(err)
	}
	_, err = in.store.upload(in.batch).Delete(ctx)
	return translateError(err)
}

func (s *Store) upload(b batch.Ref) *firestore.DocumentRef {
	return s.collection(b.Tenant, uploads).Doc(b.ID)
}

func (s *Store) inputs(b batch.Ref) *firestore.CollectionRef {
	return s.collection(b.Tenant, batches).Doc(b.ID).Collection(inputs)
}

// feedBytes bounds the inputs of one transaction, which may have 10 MiB.
const maxDispatchBytes = 4 << 20

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
	remaining := found[0].Inputs[next-found[0].First:]
	size := 0
	for i := range remaining {
		if size += len(remaining[i].Text); i == n || size > maxDispatchBytes && i > 0 {
			return remaining[:i], nil
		}
	}
	return remaining, nil
}
