package query

import (
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// Filter is a condition on a document: a FieldFilter, an All or an Any.
type Filter interface {
	Match(db name.Database, d *document.Document) bool
}

type (
	// All matches if each of its filters matches.
	All []Filter
	// Any matches if one of its filters matches.
	Any []Filter
)

// Match implements Filter.
func (f All) Match(db name.Database, d *document.Document) bool {
	return !slices.ContainsFunc(f, func(g Filter) bool { return !g.Match(db, d) })
}

// Match implements Filter.
func (f Any) Match(db name.Database, d *document.Document) bool {
	return slices.ContainsFunc(f, func(g Filter) bool { return g.Match(db, d) })
}

// FieldFilter compares one field with a value. A unary filter has null or NaN as its value.
type FieldFilter struct {
	Path  field.Path
	Op    Op
	Value *pb.Value
}

// Op is the operator of a FieldFilter.
type Op = pb.StructuredQuery_FieldFilter_Operator

// The operators.
const (
	Less             = pb.StructuredQuery_FieldFilter_LESS_THAN
	LessOrEqual      = pb.StructuredQuery_FieldFilter_LESS_THAN_OR_EQUAL
	Greater          = pb.StructuredQuery_FieldFilter_GREATER_THAN
	GreaterOrEqual   = pb.StructuredQuery_FieldFilter_GREATER_THAN_OR_EQUAL
	Equal            = pb.StructuredQuery_FieldFilter_EQUAL
	NotEqual         = pb.StructuredQuery_FieldFilter_NOT_EQUAL
	ArrayContains    = pb.StructuredQuery_FieldFilter_ARRAY_CONTAINS
	In               = pb.StructuredQuery_FieldFilter_IN
	ArrayContainsAny = pb.StructuredQuery_FieldFilter_ARRAY_CONTAINS_ANY
	NotIn            = pb.StructuredQuery_FieldFilter_NOT_IN
)

// Match implements Filter. A missing field never matches, not even with not-equal.
func (t FieldFilter) Match(db name.Database, d *document.Document) bool {
	v := valueAt(db, d, t.Path)
	if v == nil {
		return false
	}
	switch t.Op {
	case Equal:
		return value.Equal(v, t.Value)
	case NotEqual:
		// A null field never matches not-equal.
		return !value.IsNull(v) && !value.Equal(v, t.Value)
	case In:
		return value.Contains(t.values(), v)
	case NotIn:
		return !value.IsNull(v) && !slices.ContainsFunc(t.values(), value.IsNull) && !value.Contains(t.values(), v)
	case ArrayContains:
		return value.Contains(v.GetArrayValue().GetValues(), t.Value)
	case ArrayContainsAny:
		elements := v.GetArrayValue().GetValues()
		return slices.ContainsFunc(t.values(), func(w *pb.Value) bool { return value.Contains(elements, w) })
	}
	if value.KindOf(v) != value.KindOf(t.Value) || value.IsNaN(v) || value.IsNaN(t.Value) {
		return false // NaN is equal to itself, and neither less nor greater than any number
	}
	c := value.Compare(v, t.Value)
	switch t.Op {
	case Less:
		return c < 0
	case LessOrEqual:
		return c <= 0
	case Greater:
		return c > 0
	case GreaterOrEqual:
		return c >= 0
	}
	return false
}

// inequality reports whether the filter adds an implicit order by its field.
func (t FieldFilter) inequality() bool {
	switch t.Op {
	case Less, LessOrEqual, Greater, GreaterOrEqual, NotEqual, NotIn:
		return true
	}
	return false
}

func (t FieldFilter) values() []*pb.Value { return t.Value.GetArrayValue().GetValues() }

// forEachFieldFilter calls f with every FieldFilter in a filter.
func forEachFieldFilter(filter Filter, f func(FieldFilter)) {
	switch g := filter.(type) {
	case FieldFilter:
		f(g)
	case All:
		for _, h := range g {
			forEachFieldFilter(h, f)
		}
	case Any:
		for _, h := range g {
			forEachFieldFilter(h, f)
		}
	}
}

// Disjuncts converts a filter to disjunctive normal form: a list of disjuncts, each a list of filters that must all
// match. The operators in and array-contains-any become one disjunct for each value. If there are more than limit
// disjuncts, ok is false.
func Disjuncts(filter Filter, limit int) (out [][]FieldFilter, ok bool) {
	switch f := filter.(type) {
	case nil:
		return [][]FieldFilter{nil}, true
	case FieldFilter:
		return expandIn(f), true
	case Any:
		for _, g := range f {
			more, ok := Disjuncts(g, limit)
			if !ok || len(out)+len(more) > limit {
				return nil, false
			}
			out = append(out, more...)
		}
		return out, true
	case All:
		out = [][]FieldFilter{nil}
		for _, g := range f {
			more, ok := Disjuncts(g, limit)
			if !ok || len(out)*len(more) > limit {
				return nil, false
			}
			out = crossProduct(out, more)
		}
		return out, true
	}
	return nil, false
}

func expandIn(t FieldFilter) [][]FieldFilter {
	op, many := map[Op]Op{In: Equal, ArrayContainsAny: ArrayContains}[t.Op]
	if !many {
		return [][]FieldFilter{{t}}
	}
	var out [][]FieldFilter
	for _, v := range t.values() {
		out = append(out, []FieldFilter{{Path: t.Path, Op: op, Value: v}})
	}
	return out
}

func crossProduct(as, bs [][]FieldFilter) [][]FieldFilter {
	out := make([][]FieldFilter, 0, len(as)*len(bs))
	for _, a := range as {
		for _, b := range bs {
			out = append(out, slices.Concat(a, b))
		}
	}
	return out
}
