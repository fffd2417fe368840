package query

import (
	"slices"
	"strings"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// maxOrders is the documented number of fields of a composite index.
const maxOrders = 100

// Parse checks a structured query below a parent and adds the implicit orders.
func Parse(db name.Database, parent name.Path, s *pb.StructuredQuery) (*Query, error) {
	q := &Query{Database: db, Parent: parent, Offset: int(s.GetOffset()), Limit: int(s.GetLimit().GetValue())}
	if q.Offset < 0 || q.Limit < 0 {
		return nil, invalid("limit and offset must not be negative")
	}
	if s.GetFindNearest() != nil {
		return nil, status.Error(codes.Unimplemented, "find_nearest (vector search) is not supported.")
	}
	steps := []func(*pb.StructuredQuery) error{q.parseFrom, q.parseFilter, q.parseOrder, q.parseSelect, q.parseCursors}
	for _, step := range steps {
		if err := step(s); err != nil {
			return nil, err
		}
	}
	if s.GetLimit() != nil && q.Limit == 0 {
		q.Filter = Any{} // nothing matches
	}
	return q, nil
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, "Invalid query: "+format+".", args...)
}

func (q *Query) parseFrom(s *pb.StructuredQuery) error {
	switch from := s.GetFrom(); len(from) {
	case 0:
		q.Descendants = true
	case 1:
		q.Collection, q.Descendants = from[0].GetCollectionId(), from[0].GetAllDescendants()
		if q.Collection == "" {
			if !q.Descendants {
				return invalid("a collection selector without a collection ID must ask for all descendants")
			}
			return nil
		}
		return name.CheckID(q.Collection)
	default:
		return invalid("it has %d collection selectors; one is supported", len(from))
	}
	return nil
}

// parseOrder adds the implicit orders as documented: after those of the request come the fields of inequalities, sorted
// by name, and then the document name. Implicit orders have the direction of the last order of the request.
func (q *Query) parseOrder(s *pb.StructuredQuery) error {
	if len(s.GetOrderBy()) > maxOrders {
		return invalid("it has more than %d orders", maxOrders)
	}
	desc := false
	for _, o := range s.GetOrderBy() {
		p, err := field.Parse(o.GetField().GetFieldPath())
		if err != nil {
			return err
		}
		desc = o.GetDirection() == pb.StructuredQuery_DESCENDING
		if !q.ordersBy(p) {
			q.Order = append(q.Order, Order{Path: p, Desc: desc})
		}
	}
	var implied []field.Path
	forEachFieldFilter(q.Filter, func(t FieldFilter) {
		if t.inequality() && !t.Path.IsDocumentID() {
			implied = append(implied, t.Path)
		}
	})
	slices.SortFunc(implied, func(a, b field.Path) int { return strings.Compare(a.String(), b.String()) })
	for _, p := range append(implied, field.Path{field.DocumentID}) {
		if !q.ordersBy(p) {
			q.Order = append(q.Order, Order{Path: p, Desc: desc})
		}
	}
	return nil
}

func (q *Query) ordersBy(p field.Path) bool {
	return slices.ContainsFunc(q.Order, func(o Order) bool { return slices.Equal(o.Path, p) })
}

func (q *Query) parseSelect(s *pb.StructuredQuery) error {
	if s.GetSelect() == nil {
		return nil
	}
	q.Select = []field.Path{}
	for _, f := range s.GetSelect().GetFields() {
		p, err := field.Parse(f.GetFieldPath())
		if err != nil {
			return err
		}
		if !p.IsDocumentID() {
			q.Select = append(q.Select, p)
		}
	}
	if len(s.GetSelect().GetFields()) == 0 {
		q.Select = nil
	}
	return nil
}

func (q *Query) parseCursors(s *pb.StructuredQuery) (err error) {
	if q.Start, err = q.parseCursor(s.GetStartAt()); err != nil {
		return err
	}
	q.End, err = q.parseCursor(s.GetEndAt())
	return err
}

func (q *Query) parseCursor(c *pb.Cursor) (*Cursor, error) {
	if c == nil || len(c.GetValues()) == 0 {
		return nil, nil
	}
	if len(c.GetValues()) > len(q.Order) {
		return nil, invalid("a cursor has %d values for %d orders", len(c.GetValues()), len(q.Order))
	}
	for i, v := range c.GetValues() {
		if value.KindOf(v) == 0 {
			return nil, invalid("a cursor value has no type")
		}
		if q.Order[i].Path.IsDocumentID() {
			if err := q.checkReference(v); err != nil {
				return nil, err
			}
		}
	}
	return &Cursor{Values: c.GetValues(), Before: c.GetBefore()}, nil
}

// checkReference checks a value that the query compares with __name__.
func (q *Query) checkReference(v *pb.Value) error {
	if value.KindOf(v) != value.KindReference {
		return invalid("__name__ can only be compared with a document reference")
	}
	db, _, err := name.ParseDocument(v.GetReferenceValue())
	if err != nil {
		return err
	}
	if db != q.Database {
		return invalid("the reference %q is to another database", v.GetReferenceValue())
	}
	return nil
}
