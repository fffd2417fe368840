package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Limits of one chunk. A Firestore document holds 1 MiB.
const (
	maxChunkInputs = 256
	maxChunkBytes  = 512 << 10 // a single larger input has a chunk of its own
	// fileBytes is what an input file needs besides its path, twice: in the list of files, and in an index.
	fileBytes = 200
)

// inputChunk is a document with consecutive inputs of a batch.
type inputChunk struct {
	First  int           `firestore:"first"` // index of Inputs[0]
	Inputs []batch.Input `firestore:"inputs"`
	// FileIDs are the uploaded files of the inputs. Their contents are stored while a chunk has them here.
	FileIDs []string `firestore:"fileIds,omitempty"`
}

// upload marks the inputs of a batch, or the content of a file, that does not exist yet. If it never exists, because
// the API was killed, ExpiredUploads finds what was stored by it. SubmitBatch and CreateFile delete it.
type upload struct {
	ID        string    `firestore:"id"`
	Tenant    string    `firestore:"tenant"`
	CreatedAt time.Time `firestore:"createdAt,serverTimestamp"`
}

// BatchInputWriter stores the inputs of a batch before SubmitBatch creates the batch. It holds at most one chunk in
// memory. It is not safe for concurrent use.
type BatchInputWriter struct {
	store *Store
	batch batch.Ref
	chunk inputChunk
	bytes int // of the chunk's texts and files
}

// NewBatchInputWriter returns a writer without inputs.
func (s *Store) NewBatchInputWriter(ref batch.Ref) *BatchInputWriter {
	return &BatchInputWriter{store: s, batch: ref}
}

// Add adds the next input.
func (w *BatchInputWriter) Add(ctx context.Context, input batch.Input) error {
	size := len(input.Text)
	for _, f := range input.Files {
		size += len(f.Path) + fileBytes
	}
	if len(w.chunk.Inputs) == maxChunkInputs || w.bytes+size > maxChunkBytes && w.bytes > 0 {
		if err := w.Flush(ctx); err != nil {
			return err
		}
	}
	w.chunk.Inputs = append(w.chunk.Inputs, input)
	w.bytes += size
	for _, fileID := range execution.FileIDs(input.Files) {
		if !slices.Contains(w.chunk.FileIDs, fileID) {
			w.chunk.FileIDs = append(w.chunk.FileIDs, fileID)
		}
	}
	return nil
}

// Flush stores the inputs that are still in memory.
func (w *BatchInputWriter) Flush(ctx context.Context) error {
	if len(w.chunk.Inputs) == 0 {
		return nil
	}
	if w.chunk.First == 0 {
		if err := create(ctx, w.store.uploadDoc(w.batch.Tenant, w.batch.ID), upload{ID: w.batch.ID, Tenant: w.batch.Tenant}); err != nil {
			return err
		}
	}
	doc := w.store.inputChunks(w.batch).Doc(fmt.Sprintf("%06d", w.chunk.First))
	if err := create(ctx, doc, w.chunk); err != nil {
		return err
	}
	w.chunk = inputChunk{First: w.Len()}
	w.bytes = 0
	return nil
}

// Len returns how many inputs were added.
func (w *BatchInputWriter) Len() int { return w.chunk.First + len(w.chunk.Inputs) }

// Delete deletes the stored inputs. It serves a batch that is certainly not created: every call for it has ended, and
// none with ErrOutcomeUnknown. Otherwise the janitor deletes the inputs, if there is no batch.
func (w *BatchInputWriter) Delete(ctx context.Context) error {
	return w.store.deleteInputs(ctx, w.batch)
}

// deleteInputs deletes the inputs of a batch, and then the upload by which they are found.
func (s *Store) deleteInputs(ctx context.Context, ref batch.Ref) error {
	chunks, err := s.inputChunks(ref).Select().Documents(ctx).GetAll() // only their names: the inputs may have 256 MiB
	if err != nil {
		return translateError(err)
	}
	if err := deleteEach(ctx, chunks, func(ctx context.Context, chunk *firestore.DocumentSnapshot) error {
		return remove(ctx, chunk.Ref)
	}); err != nil {
		return err
	}
	return remove(ctx, s.uploadDoc(ref.Tenant, ref.ID))
}
