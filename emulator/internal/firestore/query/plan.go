package query

import (
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// Range is a stretch of an index that holds every answer to one alternative of a query, in the order of the query.
// It may hold more: who reads it checks each document against the query.
type Range struct {
	Index   *Index // nil: the documents themselves, in the order of their names
	Reverse bool   // read from the end
	// Lower and Upper bound the keys behind the scope (of an index) or the keys of paths (of the documents);
	// Upper is exclusive. Nil is open.
	Lower, Upper []byte
	// Exact says that every key between the bounds is an answer, cursors aside: they can be counted unread.
	Exact bool
}

// Plan finds the ranges that answer the query, one for each alternative of its filter.
func (q *Query) Plan() []Range {
	// The filter was checked against the limit of alternatives when it was parsed.
	disjuncts, _ := Disjuncts(q.Filter, maxDisjunctions)
	out := make([]Range, 0, len(disjuncts))
	for _, d := range disjuncts {
		out = append(out, q.planDisjunct(d))
	}
	return out
}

// plan lays the fields with an equality first, then the fields of the order. Keys end in the document's name in
// ascending order; a query that wants it descending reads the mirrored index from its end.
func (q *Query) planDisjunct(conjuncts []FieldFilter) Range {
	reverse := q.nameDescending()
	if q.Collection == "" { // documents of several collections have no keys in common
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
	r := Range{Index: index, Reverse: reverse}
	if len(index.Equal)+len(index.Order) == 0 {
		r.Index = nil
	}
	b := rangeBuilder{q: q, equalValues: equalValues, prefix: prefix, reverse: reverse}
	r.Lower, r.Upper = b.keyBounds(conjuncts)
	r.Exact = b.exact(conjuncts, equals)
	return r
}

// nameDesc is the direction of the order by name, which every query has.
func (q *Query) nameDescending() bool {
	i := slices.IndexFunc(q.Order, func(o Order) bool { return o.Path.IsDocumentID() })
	return q.Order[i].Desc
}

// equalities picks one equality for each field, in the order of the fields, so that the same set of fields always
// asks for the same index. Of the filters on arrays it picks the only one.
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

// bounds narrows a range by the cursors and by the inequalities on the first order.
type rangeBuilder struct {
	q           *Query
	equalValues map[string]*pb.Value
	prefix      []byte
	reverse     bool
}

func (b rangeBuilder) keyBounds(conjuncts []FieldFilter) (lower, upper []byte) {
	lower, upper = b.prefix, name.PrefixEnd(b.prefix)
	first, last := b.q.Start, b.q.End
	if b.reverse {
		first, last = last, first
	}
	if first != nil {
		lower = maxKey(lower, b.cursorKey(first.Values))
	}
	if last != nil {
		upper = minUpperKey(upper, name.PrefixEnd(b.cursorKey(last.Values)))
	}
	o, ok := b.firstOrder()
	if !ok {
		return lower, upper
	}
	for _, t := range conjuncts {
		if !slices.Equal(t.Path, o.Path) {
			continue
		}
		lo, hi := b.filterBounds(t, o)
		lower, upper = maxKey(lower, lo), minUpperKey(upper, hi)
	}
	return lower, upper
}

// firstOrder is the first order that an equality does not settle.
func (b rangeBuilder) firstOrder() (Order, bool) {
	for _, o := range b.q.Order {
		if b.equalValues[o.Path.String()] == nil {
			return o, true
		}
	}
	return Order{}, false
}

// exact says whether the range leaves nothing of the filter to be checked.
func (b rangeBuilder) exact(conjuncts, equals []FieldFilter) bool {
	if !b.q.Order[len(b.q.Order)-1].Path.IsDocumentID() {
		return false // fields ordered after the name must be there, but are not in the index
	}
	first, _ := b.firstOrder()
	for _, t := range conjuncts {
		if t.Path.IsDocumentID() || truncated(t.Value) {
			return false
		}
		switch t.Op {
		case Equal, ArrayContains:
			if !slices.ContainsFunc(equals, func(p FieldFilter) bool {
				return p.Op == t.Op && slices.Equal(p.Path, t.Path) && value.Equal(p.Value, t.Value)
			}) {
				return false
			}
		case Less, LessOrEqual, Greater, GreaterOrEqual:
			if !slices.Equal(t.Path, first.Path) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// cutOff says whether the key of a value may stand for others as well.
func truncated(v *pb.Value) bool { return len(value.AppendKey(nil, v)) >= value.MaxKeyBytes }

// term is the range that one filter on the first order leaves. Values of other kinds than the filter's do not match.
func (b rangeBuilder) filterBounds(t FieldFilter, o Order) (lower, upper []byte) {
	desc := o.Desc != b.reverse
	key := b.appendComponent(slices.Clone(b.prefix), o, t.Value)
	if t.Path.IsDocumentID() {
		switch t.Op {
		case Equal:
			return key, name.PrefixEnd(key)
		case Greater, GreaterOrEqual:
			return key, nil
		case Less, LessOrEqual:
			return nil, name.PrefixEnd(key)
		}
		return nil, nil
	}
	kind := byte(value.KindOf(t.Value))
	if desc {
		kind = ^kind
	}
	kindPrefix := append(slices.Clone(b.prefix), kind)
	before, after := key, name.PrefixEnd(key)
	if truncated(t.Value) { // its key may be that of a match
		switch {
		case t.Op == Greater && !desc, t.Op == Less && desc:
			after = key
		case t.Op == Less, t.Op == Greater:
			before = name.PrefixEnd(key)
		}
	}
	switch {
	case t.Op == Less && !desc, t.Op == Greater && desc:
		return kindPrefix, before
	case t.Op == LessOrEqual && !desc, t.Op == GreaterOrEqual && desc:
		return kindPrefix, after
	case t.Op == Greater, t.Op == Less:
		return after, name.PrefixEnd(kindPrefix)
	case t.Op == GreaterOrEqual, t.Op == LessOrEqual:
		return before, name.PrefixEnd(kindPrefix)
	}
	return nil, nil
}

// key is where the values of a cursor lie. It stops at a value that an equality contradicts, and at one that is cut
// off: the key is then only as exact as its first part.
func (b rangeBuilder) cursorKey(values []*pb.Value) []byte {
	key := slices.Clone(b.prefix)
	for i, v := range values {
		o := b.q.Order[i]
		if fixed := b.equalValues[o.Path.String()]; fixed != nil {
			if !value.Equal(fixed, v) {
				break
			}
			continue
		}
		before := len(key)
		key = b.appendComponent(key, o, v)
		if o.Path.IsDocumentID() || len(key)-before >= value.MaxKeyBytes {
			break
		}
	}
	return key
}

func (b rangeBuilder) appendComponent(key []byte, o Order, v *pb.Value) []byte {
	switch {
	case o.Path.IsDocumentID():
		_, p, _ := name.ParseDocument(v.GetReferenceValue()) // checked when the query was parsed
		return name.AppendKey(key, p)
	case o.Desc != b.reverse:
		return value.AppendKeyDesc(key, v)
	}
	return value.AppendKey(key, v)
}

func maxKey(a, b []byte) []byte {
	if slices.Compare(a, b) < 0 {
		return b
	}
	return a
}

// smaller treats nil as the end of all keys.
func minUpperKey(a, b []byte) []byte {
	if a == nil || (b != nil && slices.Compare(b, a) < 0) {
		return b
	}
	return a
}
