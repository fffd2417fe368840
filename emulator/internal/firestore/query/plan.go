package query

import (
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// Range is a range of an index that contains all results of one disjunct of a query, in the order of the query. It may
// contain other documents: the reader checks each document against the query.
type Range struct {
	Index *Index // nil: the documents themselves, in the order of their names
	// Keys are relative to the scope of the index (see Index.AppendScope), or are the keys of paths if Index is nil.
	Keys    keyrange.Range
	Reverse bool // read from the end
	// Exact says that every key in the range is a result, apart from cursors: they can be counted without reading the
	// documents.
	Exact bool
}

// Plan returns the ranges to read, one for each disjunct of the filter.
func (q *Query) Plan() []Range {
	// parseFilter has checked the limit of disjuncts.
	disjuncts, _ := Disjuncts(q.Filter, maxDisjunctions)
	out := make([]Range, 0, len(disjuncts))
	for _, d := range disjuncts {
		out = append(out, q.planDisjunct(d))
	}
	return out
}

// planDisjunct orders the fields of the index: first those with an equality, then those of the order. Keys end with
// the document's name in ascending order. A query with descending names reads an index with all directions reversed
// from its end.
func (q *Query) planDisjunct(conjuncts []FieldFilter) Range {
	reverse := q.nameDescending()
	if q.Collection == "" { // no key range contains the documents of several collections
		return Range{Reverse: reverse}
	}
	index := &Index{Database: q.Database, Collection: q.Collection, Descendants: q.Descendants}
	var prefix []byte
	equalValues := map[string]*pb.Value{}
	equals := equalities(conjuncts)
	for _, t := range equals {
		index.Equal = append(index.Equal, Component{Path: t.Path, Elements: t.Op == ArrayContains})
		prefix = value.AppendKey(prefix, t.Value)
		if t.Op == Equal {
			equalValues[t.Path.String()] = t.Value
		}
	}
	for _, o := range q.Order {
		if o.Path.IsDocumentID() {
			break
		}
		if equalValues[o.Path.String()] == nil {
			index.Order = append(index.Order, Component{Path: o.Path, Desc: o.Desc != reverse})
		}
	}
	b := rangeBuilder{q: q, equalValues: equalValues, prefix: prefix, reverse: reverse}
	r := Range{Index: index, Keys: b.keys(conjuncts), Reverse: reverse, Exact: b.exact(conjuncts, equals)}
	if len(index.Equal)+len(index.Order) == 0 {
		r.Index = nil
	}
	return r
}

// nameDescending returns the direction of the order by name, which every query has.
func (q *Query) nameDescending() bool {
	i := slices.IndexFunc(q.Order, func(o Order) bool { return o.Path.IsDocumentID() })
	return q.Order[i].Desc
}

// equalities returns one equality for each field, and the array-contains filter, ordered by field: the same set of
// fields always leads to the same index.
func equalities(conjuncts []FieldFilter) []FieldFilter {
	var out []FieldFilter
	for _, t := range conjuncts {
		if (t.Op == Equal || t.Op == ArrayContains) && !t.Path.IsDocumentID() {
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b FieldFilter) int {
		if c := field.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return int(a.Op) - int(b.Op)
	})
	return slices.CompactFunc(out, func(a, b FieldFilter) bool { return a.Op == b.Op && slices.Equal(a.Path, b.Path) })
}
