package store

import (
	"time"

	"cloud.google.com/go/firestore"
)

// Page is a part of a list, from newer to older.
type Page struct {
	After *Cursor // nil: the first page
	Limit int
}

// Cursor is the position of the last resource of a page. Later additions to the list come before it, so they do not
// change the pages behind it.
type Cursor struct {
	At time.Time // the time by which the list is ordered
	ID string    // the order of resources with the same time
}

// apply limits a query to the page. field is the time by which the list is ordered.
func (p Page) apply(q firestore.Query, field string) firestore.Query {
	q = q.OrderBy(field, firestore.Desc).OrderBy(firestore.DocumentID, firestore.Desc).Limit(p.Limit)
	if p.After != nil {
		q = q.StartAfter(p.After.At, p.After.ID)
	}
	return q
}
