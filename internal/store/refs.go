package store

import (
	"context"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// ref is a type of references. They have the same shape.
type ref interface {
	execution.Ref | batch.Ref | webhook.Ref
}

// refOf returns the Ref of a document below tenants/{tenant}/{collection}. It reads only the document's path, so it
// works for a document whose fields cannot be decoded.
func refOf[R ref](doc *firestore.DocumentRef) R {
	return R(execution.Ref{Tenant: doc.Parent.Parent.ID, ID: doc.ID})
}

func refsOf[R ref](snaps []*firestore.DocumentSnapshot) []R {
	refs := make([]R, len(snaps))
	for i, snap := range snaps {
		refs[i] = refOf[R](snap.Ref)
	}
	return refs
}

// listRefs reads only the names of the documents that a query finds.
func listRefs[R ref](ctx context.Context, q firestore.Query) ([]R, error) {
	snaps, err := q.Select().Documents(ctx).GetAll()
	return refsOf[R](snaps), translateError(err)
}

// Scan is a position in the result of a query that a background worker reads page by page. Each page begins behind the
// page before. After the last page the next one is the first again. So documents with which nothing can be done do not
// hide the documents behind them. The zero Scan is at the front. It is not safe for concurrent use.
type Scan struct {
	after *firestore.DocumentSnapshot // the last document of the page before; nil: the next page is the first
}

// AtFront reports whether the next page is the first.
func (s *Scan) AtFront() bool { return s.after == nil }

// page reads the next page of a query. The query must select the fields by which it is ordered.
func (s *Scan) page(ctx context.Context, q firestore.Query, limit int) ([]*firestore.DocumentSnapshot, error) {
	if s.after != nil {
		q = q.StartAfter(s.after)
	}
	snaps, err := q.Limit(limit).Documents(ctx).GetAll()
	if err != nil {
		return nil, translateError(err)
	}
	s.after = nil
	if len(snaps) == limit {
		s.after = snaps[limit-1]
	}
	return snaps, nil
}
