package store

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// documentGetter gets one document, in a transaction or without one.
type documentGetter func(*firestore.DocumentRef) (*firestore.DocumentSnapshot, error)

func withoutTransaction(ctx context.Context) documentGetter {
	return func(ref *firestore.DocumentRef) (*firestore.DocumentSnapshot, error) { return ref.Get(ctx) }
}

// documentsGetter gets documents with one call, in a transaction or without one. A document that does not exist has a
// snapshot that says so.
type documentsGetter func([]*firestore.DocumentRef) ([]*firestore.DocumentSnapshot, error)

func (s *Store) getAll(ctx context.Context) documentsGetter {
	return func(refs []*firestore.DocumentRef) ([]*firestore.DocumentSnapshot, error) {
		return s.client.GetAll(ctx, refs)
	}
}

// read reads a document into doc and returns Firestore's time of the read. If the document does not exist, the error is
// a NotFoundError, and the time is valid.
func read(get documentGetter, ref *firestore.DocumentRef, doc any) (now time.Time, err error) {
	now, _, err = readVersion(get, ref, doc)
	return now, err
}

// readVersion is read that also returns the time of the document's newest change.
func readVersion(get documentGetter, ref *firestore.DocumentRef, doc any) (now, version time.Time, err error) {
	snap, err := get(ref)
	if err != nil && status.Code(err) != codes.NotFound {
		return time.Time{}, time.Time{}, translateError(err)
	}
	return decode(snap, doc)
}

// decode is readVersion of a document that has been read.
func decode(snap *firestore.DocumentSnapshot, doc any) (now, version time.Time, err error) {
	if !snap.Exists() {
		return snap.ReadTime, time.Time{}, notFound(snap.Ref)
	}
	return snap.ReadTime, snap.UpdateTime, snap.DataTo(doc)
}

func notFound(ref *firestore.DocumentRef) *NotFoundError {
	return &NotFoundError{Resource: resourceName(ref), ID: ref.ID}
}

// resourceName says for people what a document is.
func resourceName(ref *firestore.DocumentRef) string {
	if ref.Parent.ID == versions {
		return resourceName(ref.Parent.Parent) + " version"
	}
	return resourceNames[ref.Parent.ID]
}

// transactionTime returns Firestore's time in a transaction that creates a document, by a read of that document.
func transactionTime(tx *firestore.Transaction, created *firestore.DocumentRef) (time.Time, error) {
	snap, err := tx.Get(created)
	if status.Code(err) != codes.NotFound {
		return time.Time{}, translateError(err)
	}
	return snap.ReadTime, nil
}

// list reads all documents that a query finds.
func list[T any](ctx context.Context, q firestore.Query) ([]T, error) {
	snaps, err := q.Documents(ctx).GetAll()
	if err != nil {
		return nil, translateError(err)
	}
	found := make([]T, len(snaps))
	for i, snap := range snaps {
		if err := snap.DataTo(&found[i]); err != nil {
			return nil, fmt.Errorf("document %s: %w", snap.Ref.Path, err)
		}
	}
	return found, nil
}

// count counts the documents that a query finds. Firestore charges one read for each thousand.
func count(ctx context.Context, q firestore.Query) (int, error) {
	counted, err := q.NewAggregationQuery().WithCount("n").Get(ctx)
	if err != nil {
		return 0, translateError(err)
	}
	return int(counted["n"].(*firestorepb.Value).GetIntegerValue()), nil
}

// sum adds up a field of the documents that a query finds.
func sum(ctx context.Context, q firestore.Query, field string) (float64, error) {
	summed, err := q.NewAggregationQuery().WithSum(field, "sum").Get(ctx)
	if err != nil {
		return 0, translateError(err)
	}
	v := summed["sum"].(*firestorepb.Value) // an integer if all values are integers, or if there are none
	return v.GetDoubleValue() + float64(v.GetIntegerValue()), nil
}

// maxConcurrentDeletes bounds how many documents one call deletes at the same time.
const maxConcurrentDeletes = 4

// deleteEach calls deleteOne for each item, for several at the same time. An error does not stop the others. It returns
// the first one.
func deleteEach[T any](ctx context.Context, items []T, deleteOne func(context.Context, T) error) error {
	var g errgroup.Group
	g.SetLimit(maxConcurrentDeletes)
	for _, item := range items {
		g.Go(func() error { return deleteOne(ctx, item) })
	}
	return g.Wait()
}
