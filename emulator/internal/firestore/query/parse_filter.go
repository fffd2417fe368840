package query

import (
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// Documented limits of the filter of a query.
const (
	maxDisjunctions = 30
	maxInequalities = 10 // fields with a range filter, not-equal or not-in
	maxInValues     = 30 // values of in and array-contains-any
	maxNotIn        = 10 // values of not-in
)

func (q *Query) parseFilter(s *pb.StructuredQuery) error {
	if s.GetWhere() == nil {
		return nil
	}
	f, err := q.parseFilterNode(s.GetWhere())
	if err != nil {
		return err
	}
	q.Filter = f
	return q.checkFilterLimits()
}

func (q *Query) parseFilterNode(f *pb.StructuredQuery_Filter) (Filter, error) {
	switch t := f.GetFilterType().(type) {
	case *pb.StructuredQuery_Filter_CompositeFilter:
		return q.parseComposite(t.CompositeFilter)
	case *pb.StructuredQuery_Filter_FieldFilter:
		return q.parseFieldFilter(t.FieldFilter)
	case *pb.StructuredQuery_Filter_UnaryFilter:
		return parseUnary(t.UnaryFilter)
	}
	return nil, invalid("a filter has no type")
}

func (q *Query) parseComposite(c *pb.StructuredQuery_CompositeFilter) (Filter, error) {
	if len(c.GetFilters()) == 0 {
		return nil, invalid("a composite filter is empty")
	}
	parts := make([]Filter, 0, len(c.GetFilters()))
	for _, f := range c.GetFilters() {
		part, err := q.parseFilterNode(f)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	switch c.GetOp() {
	case pb.StructuredQuery_CompositeFilter_AND:
		return All(parts), nil
	case pb.StructuredQuery_CompositeFilter_OR:
		return Any(parts), nil
	}
	return nil, invalid("a composite filter has no operator")
}

func parseUnary(u *pb.StructuredQuery_UnaryFilter) (Filter, error) {
	p, err := field.Parse(u.GetField().GetFieldPath())
	if err != nil {
		return nil, err
	}
	if p.IsDocumentID() {
		return nil, invalid("__name__ cannot be compared with null or NaN")
	}
	switch u.GetOp() {
	case pb.StructuredQuery_UnaryFilter_IS_NULL:
		return FieldFilter{Path: p, Op: Equal, Value: value.Null}, nil
	case pb.StructuredQuery_UnaryFilter_IS_NOT_NULL:
		return FieldFilter{Path: p, Op: NotEqual, Value: value.Null}, nil
	case pb.StructuredQuery_UnaryFilter_IS_NAN:
		return FieldFilter{Path: p, Op: Equal, Value: value.NaN}, nil
	case pb.StructuredQuery_UnaryFilter_IS_NOT_NAN:
		return FieldFilter{Path: p, Op: NotEqual, Value: value.NaN}, nil
	}
	return nil, invalid("a unary filter has no operator")
}

func (q *Query) parseFieldFilter(f *pb.StructuredQuery_FieldFilter) (Filter, error) {
	p, err := field.Parse(f.GetField().GetFieldPath())
	if err != nil {
		return nil, err
	}
	t := FieldFilter{Path: p, Op: f.GetOp(), Value: f.GetValue()}
	switch {
	case t.Op == pb.StructuredQuery_FieldFilter_OPERATOR_UNSPECIFIED:
		return nil, invalid("a field filter has no operator")
	case value.KindOf(t.Value) == 0:
		return nil, invalid("the filter on %s has no value", p)
	}
	limits := map[Op]int{In: maxInValues, ArrayContainsAny: maxInValues, NotIn: maxNotIn}
	if limit, ok := limits[t.Op]; ok {
		if n := len(t.values()); n == 0 || n > limit {
			return nil, invalid("%s needs an array of 1 to %d values", t.Op, limit)
		}
	}
	if p.IsDocumentID() {
		return t, q.checkNameFilter(t)
	}
	return t, nil
}

func (q *Query) checkNameFilter(t FieldFilter) error {
	switch t.Op {
	case ArrayContains, ArrayContainsAny:
		return invalid("__name__ is not an array")
	case In, NotIn:
		for _, v := range t.values() {
			if err := q.checkReference(v); err != nil {
				return err
			}
		}
		return nil
	}
	return q.checkReference(t.Value)
}

// checkFilterLimits checks the documented limits of the whole filter.
func (q *Query) checkFilterLimits() error {
	disjuncts, ok := Disjuncts(q.Filter, maxDisjunctions)
	if !ok {
		return invalid("it has more than %d disjunctions", maxDisjunctions)
	}
	for _, d := range disjuncts {
		arrays := 0
		for _, t := range d {
			if t.Op == ArrayContains {
				arrays++
			}
		}
		if arrays > 1 {
			return invalid("at most one array-contains or array-contains-any is allowed in each disjunction")
		}
	}
	count := map[Op]int{}
	fields := map[string]bool{}
	forEachFieldFilter(q.Filter, func(t FieldFilter) {
		count[t.Op]++
		if t.inequality() {
			fields[t.Path.String()] = true
		}
	})
	switch {
	case count[NotIn] > 0 && (count[NotIn]+count[NotEqual] > 1 || count[In]+count[ArrayContainsAny] > 0 || len(disjuncts) > 1):
		return invalid("not-in cannot be combined with not-equal, in, array-contains-any, or, or another not-in")
	case len(fields) > maxInequalities:
		return invalid("it has inequalities on more than %d fields", maxInequalities)
	}
	return nil
}
