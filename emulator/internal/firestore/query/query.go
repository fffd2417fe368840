// Package query parses structured queries, matches, orders and aggregates documents, and plans which key ranges to
// read. It receives documents from its caller and reads no storage itself.
package query

import (
	"cmp"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// Query is a checked query with explicit orders: Parse adds the implicit ones, so one order is always by document name.
type Query struct {
	Database    name.Database
	Parent      name.Path // of the collection; with Descendants, an ancestor
	Collection  string    // "" means every collection below Parent
	Descendants bool      // every collection with this ID below Parent, not only the direct child
	Filter      Filter    // nil matches everything
	Order       []Order
	Select      []field.Path // nil means all fields
	Start, End  *Cursor
	Offset      int
	Limit       int // zero means no limit
}

// Order is one sort key.
type Order struct {
	Path field.Path
	Desc bool
}

// Cursor is a position in the order: before or after the documents that have these values in the first orders.
type Cursor struct {
	Values []*pb.Value
	Before bool
}

// Matches reports whether the document is a result, apart from cursors, offset and limit.
func (q *Query) Matches(d *document.Document) bool {
	if d == nil || !q.InScope(d.Path) {
		return false
	}
	for _, o := range q.Order {
		if !o.Path.IsDocumentID() && field.Get(d.Fields, o.Path) == nil {
			return false
		}
	}
	return q.Filter == nil || q.Filter.Match(q.Database, d)
}

// InScope reports whether a document at this path can be a result.
func (q *Query) InScope(p name.Path) bool {
	switch {
	case q.Collection != "" && p.Collection() != q.Collection:
		return false
	case !q.Descendants:
		return len(p) == len(q.Parent)+2 && p.HasPrefix(q.Parent)
	}
	return len(p) > len(q.Parent) && p.HasPrefix(q.Parent)
}

// Compare orders two results.
func (q *Query) Compare(a, b *document.Document) int {
	for _, o := range q.Order {
		var c int
		if o.Path.IsDocumentID() {
			c = name.Compare(a.Path, b.Path)
		} else {
			c = value.Compare(field.Get(a.Fields, o.Path), field.Get(b.Fields, o.Path))
		}
		if o.Desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// BeforeStart reports whether the start cursor excludes the document.
func (q *Query) BeforeStart(d *document.Document) bool {
	if q.Start == nil {
		return false
	}
	c := q.compareCursor(d, q.Start)
	return c < 0 || c == 0 && !q.Start.Before
}

// AfterEnd reports whether the end cursor excludes the document.
func (q *Query) AfterEnd(d *document.Document) bool {
	if q.End == nil {
		return false
	}
	c := q.compareCursor(d, q.End)
	return c > 0 || c == 0 && q.End.Before
}

func (q *Query) compareCursor(d *document.Document, c *Cursor) int {
	for i, v := range c.Values {
		o := q.Order[i]
		r := value.Compare(valueAt(q.Database, d, o.Path), v)
		if o.Desc {
			r = -r
		}
		if r != 0 {
			return r
		}
	}
	return 0
}

// CursorAfter returns the cursor after a result.
func (q *Query) CursorAfter(d *document.Document) *pb.Cursor {
	out := &pb.Cursor{}
	for _, o := range q.Order {
		out.Values = append(out.Values, valueAt(q.Database, d, o.Path))
	}
	return out
}

// Project returns the document with only the selected fields.
func (q *Query) Project(d *document.Document) *document.Document {
	if q.Select == nil {
		return d
	}
	out := *d
	out.Fields = field.Project(d.Fields, q.Select)
	return &out
}

// LimitOr returns the limit; n if there is none.
func (q *Query) LimitOr(n int) int { return cmp.Or(q.Limit, n) }

// valueAt returns the value of a field, or a reference for the document's name; nil if the field is missing.
func valueAt(db name.Database, d *document.Document, p field.Path) *pb.Value {
	if p.IsDocumentID() {
		return value.Reference(d.Path.ResourceName(db))
	}
	return field.Get(d.Fields, p)
}
