package query

import (
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// rangeBuilder computes the key range of one disjunct.
type rangeBuilder struct {
	q           *Query
	equalValues map[string]*pb.Value // by field path
	prefix      []byte               // key of the values with an equality
	reverse     bool
}

// keys narrows the range by the cursors, and by the filters on the first order.
func (b rangeBuilder) keys(conjuncts []FieldFilter) keyrange.Range {
	out := keyrange.WithPrefix(b.prefix)
	first, last := b.q.Start, b.q.End
	if b.reverse {
		first, last = last, first
	}
	if first != nil {
		out = out.Intersect(keyrange.Range{Lower: b.cursorKey(first.Values)})
	}
	if last != nil {
		out = out.Intersect(keyrange.Range{Upper: keyrange.PrefixEnd(b.cursorKey(last.Values))})
	}
	o, ok := b.firstOrder()
	if !ok {
		return out
	}
	for _, t := range conjuncts {
		if slices.Equal(t.Path, o.Path) {
			out = out.Intersect(b.filterKeys(t, o))
		}
	}
	return out
}

// firstOrder returns the first order by a field that has no equality.
func (b rangeBuilder) firstOrder() (Order, bool) {
	for _, o := range b.q.Order {
		if b.equalValues[o.Path.String()] == nil {
			return o, true
		}
	}
	return Order{}, false
}

// exact reports whether all documents in the range match the filter.
func (b rangeBuilder) exact(conjuncts, equals []FieldFilter) bool {
	if !b.q.Order[len(b.q.Order)-1].Path.IsDocumentID() {
		return false // the documents must have the fields ordered after the name, but the index does not contain them
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
			if !slices.Equal(t.Path, first.Path) || value.IsNaN(t.Value) { // no number matches, and the range has all
				return false
			}
		default:
			return false
		}
	}
	return true
}

// truncated reports whether other values may have the same key as this one.
func truncated(v *pb.Value) bool { return len(value.AppendKey(nil, v)) >= value.MaxKeyBytes }

// filterKeys returns the range of the matches of one filter on the first order. Values of another kind than the
// filter's value do not match.
func (b rangeBuilder) filterKeys(t FieldFilter, o Order) keyrange.Range {
	key := b.appendComponent(slices.Clone(b.prefix), o, t.Value)
	if t.Path.IsDocumentID() {
		switch t.Op {
		case Equal:
			return keyrange.WithPrefix(key)
		case Greater, GreaterOrEqual:
			return keyrange.Range{Lower: key}
		case Less, LessOrEqual:
			return keyrange.Range{Upper: keyrange.PrefixEnd(key)}
		}
		return keyrange.Range{}
	}
	desc := o.Desc != b.reverse
	kind := byte(value.KindOf(t.Value))
	if desc {
		kind = ^kind
	}
	sameKind := keyrange.WithPrefix(append(slices.Clone(b.prefix), kind))
	if value.KindOf(t.Value) == value.KindNumber { // without NaN, the least number
		nan := b.appendComponent(slices.Clone(b.prefix), o, value.NaN)
		if desc {
			sameKind.Upper = nan
		} else {
			sameKind.Lower = keyrange.PrefixEnd(nan)
		}
	}
	before, after := key, keyrange.PrefixEnd(key)
	if truncated(t.Value) { // a match may have the same key
		switch {
		case t.Op == Greater && !desc, t.Op == Less && desc:
			after = key
		case t.Op == Less, t.Op == Greater:
			before = keyrange.PrefixEnd(key)
		}
	}
	switch {
	case t.Op == Less && !desc, t.Op == Greater && desc:
		return sameKind.Intersect(keyrange.Range{Upper: before})
	case t.Op == LessOrEqual && !desc, t.Op == GreaterOrEqual && desc:
		return sameKind.Intersect(keyrange.Range{Upper: after})
	case t.Op == Greater, t.Op == Less:
		return sameKind.Intersect(keyrange.Range{Lower: after})
	case t.Op == GreaterOrEqual, t.Op == LessOrEqual:
		return sameKind.Intersect(keyrange.Range{Lower: before})
	}
	return keyrange.Range{}
}

// cursorKey returns the key of a cursor's values. It stops before a value that contradicts an equality, and after a
// truncated value: the key is then a prefix of the exact key.
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
		_, p, _ := name.ParseDocument(v.GetReferenceValue()) // valid: the parser of the query has checked it
		return name.AppendKey(key, p)
	case o.Desc != b.reverse:
		return value.AppendKeyDesc(key, v)
	}
	return value.AppendKey(key, v)
}
