package query_test

import (
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

var database = name.Database{Project: "p", ID: "d"}

func ref(f string) *pb.StructuredQuery_FieldReference {
	return &pb.StructuredQuery_FieldReference{FieldPath: f}
}

func term(f string, op query.Op, v *pb.Value) *pb.StructuredQuery_Filter {
	return &pb.StructuredQuery_Filter{FilterType: &pb.StructuredQuery_Filter_FieldFilter{
		FieldFilter: &pb.StructuredQuery_FieldFilter{Field: ref(f), Op: op, Value: v}}}
}

func all(parts ...*pb.StructuredQuery_Filter) *pb.StructuredQuery_Filter {
	return &pb.StructuredQuery_Filter{FilterType: &pb.StructuredQuery_Filter_CompositeFilter{
		CompositeFilter: &pb.StructuredQuery_CompositeFilter{Op: pb.StructuredQuery_CompositeFilter_AND, Filters: parts}}}
}

func order(f string, d pb.StructuredQuery_Direction) *pb.StructuredQuery_Order {
	return &pb.StructuredQuery_Order{Field: ref(f), Direction: d}
}

const (
	asc  = pb.StructuredQuery_ASCENDING
	desc = pb.StructuredQuery_DESCENDING
)

func fromCollection(s *pb.StructuredQuery) *pb.StructuredQuery {
	s.From = []*pb.StructuredQuery_CollectionSelector{{CollectionId: "c"}}
	return s
}

func TestImplicitOrders(t *testing.T) {
	one := value.Int(1)
	for _, tt := range []struct {
		name  string
		query *pb.StructuredQuery
		want  []query.Order
	}{
		{"no order", &pb.StructuredQuery{}, []query.Order{{Path: field.Path{"__name__"}}}},
		{"equality adds none", &pb.StructuredQuery{Where: term("a", query.Equal, one)}, []query.Order{{Path: field.Path{"__name__"}}}},
		{"inequalities sorted by field name", &pb.StructuredQuery{Where: all(term("b", query.Less, one), term("a", query.NotEqual, one))},
			[]query.Order{{Path: field.Path{"a"}}, {Path: field.Path{"b"}}, {Path: field.Path{"__name__"}}}},
		{"implicit orders in the direction of the last order", &pb.StructuredQuery{Where: term("b", query.Less, one), OrderBy: []*pb.StructuredQuery_Order{order("z", asc), order("a", desc)}},
			[]query.Order{{Path: field.Path{"z"}}, {Path: field.Path{"a"}, Desc: true}, {Path: field.Path{"b"}, Desc: true}, {Path: field.Path{"__name__"}, Desc: true}}},
		{"order by the field of an inequality", &pb.StructuredQuery{Where: term("a", query.Less, one), OrderBy: []*pb.StructuredQuery_Order{order("a", desc), order("__name__", asc)}},
			[]query.Order{{Path: field.Path{"a"}, Desc: true}, {Path: field.Path{"__name__"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, err := query.Parse(database, nil, fromCollection(tt.query))
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(tt.want, q.Order))
		})
	}
}

func TestParseInvalid(t *testing.T) {
	one := value.Int(1)
	tests := map[string]*pb.StructuredQuery{
		"no operator":               fromCollection(&pb.StructuredQuery{Where: term("a", 0, one)}),
		"no value":                  fromCollection(&pb.StructuredQuery{Where: term("a", query.Equal, &pb.Value{})}),
		"in without array":          fromCollection(&pb.StructuredQuery{Where: term("a", query.In, one)}),
		"empty composite":           fromCollection(&pb.StructuredQuery{Where: all()}),
		"empty filter":              fromCollection(&pb.StructuredQuery{Where: &pb.StructuredQuery_Filter{}}),
		"name compared with number": fromCollection(&pb.StructuredQuery{Where: term("__name__", query.Equal, one)}),
		"name in another database":  fromCollection(&pb.StructuredQuery{Where: term("__name__", query.Equal, value.Reference("projects/x/databases/d/documents/c/d"))}),
		"name as array":             fromCollection(&pb.StructuredQuery{Where: term("__name__", query.ArrayContains, value.Reference("projects/p/databases/d/documents/c/d"))}),
		"malformed field":           fromCollection(&pb.StructuredQuery{Where: term("a..b", query.Equal, one)}),
		"malformed order":           fromCollection(&pb.StructuredQuery{OrderBy: []*pb.StructuredQuery_Order{order("", asc)}}),
		"malformed projection":      fromCollection(&pb.StructuredQuery{Select: &pb.StructuredQuery_Projection{Fields: []*pb.StructuredQuery_FieldReference{ref("")}}}),
		"cursor longer than order":  fromCollection(&pb.StructuredQuery{StartAt: &pb.Cursor{Values: []*pb.Value{one, one}}}),
		"number as cursor of name":  fromCollection(&pb.StructuredQuery{EndAt: &pb.Cursor{Values: []*pb.Value{one}}}),
		"negative limit":            fromCollection(&pb.StructuredQuery{Limit: wrapperspb.Int32(-1)}),
		"nameless collection":       {From: []*pb.StructuredQuery_CollectionSelector{{}}},
		"reserved collection":       {From: []*pb.StructuredQuery_CollectionSelector{{CollectionId: "__c__"}}},
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := query.Parse(database, nil, s)
			require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
		})
	}
}

func TestPlans(t *testing.T) {
	one := value.Int(1)
	equalStatus := term("status", query.Equal, one)
	newest := []*pb.StructuredQuery_Order{order("createdAt", desc)}
	for _, tt := range []struct {
		name    string
		query   *pb.StructuredQuery
		index   *query.Index // nil means the documents themselves
		reverse bool
		exact   bool
	}{
		{"all", &pb.StructuredQuery{}, nil, false, true},
		{"all, descending", &pb.StructuredQuery{OrderBy: []*pb.StructuredQuery_Order{order("__name__", desc)}}, nil, true, true},
		{"range", &pb.StructuredQuery{Where: term("due", query.LessOrEqual, one)}, &query.Index{Order: []query.Component{{Path: field.Path{"due"}}}}, false, true},
		{"descending order reads an ascending index from its end", &pb.StructuredQuery{Where: equalStatus, OrderBy: newest},
			&query.Index{Equal: []query.Component{{Path: field.Path{"status"}}}, Order: []query.Component{{Path: field.Path{"createdAt"}}}}, true, true},
		{"mixed directions", &pb.StructuredQuery{OrderBy: []*pb.StructuredQuery_Order{order("a", desc), order("b", asc)}},
			&query.Index{Order: []query.Component{{Path: field.Path{"a"}, Desc: true}, {Path: field.Path{"b"}}}}, false, true},
		{"order by a field with an equality", &pb.StructuredQuery{Where: equalStatus, OrderBy: []*pb.StructuredQuery_Order{order("status", asc)}},
			&query.Index{Equal: []query.Component{{Path: field.Path{"status"}}}}, false, true},
		{"order of equalities does not matter", &pb.StructuredQuery{Where: all(term("b", query.Equal, one), term("a", query.ArrayContains, one))},
			&query.Index{Equal: []query.Component{{Path: field.Path{"a"}, Elements: true}, {Path: field.Path{"b"}}}}, false, true},
		{"not-equal is not exact", &pb.StructuredQuery{Where: term("a", query.NotEqual, one)}, &query.Index{Order: []query.Component{{Path: field.Path{"a"}}}}, false, false},
		{"range on a second field is not exact", &pb.StructuredQuery{Where: all(term("a", query.Less, one), term("b", query.Less, one))},
			&query.Index{Order: []query.Component{{Path: field.Path{"a"}}, {Path: field.Path{"b"}}}}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q, err := query.Parse(database, nil, fromCollection(tt.query))
			require.NoError(t, err)
			plan := q.Plan()
			require.Len(t, plan, 1)
			if tt.index != nil {
				tt.index.Database, tt.index.Collection = database, "c"
			}
			require.Empty(t, cmp.Diff(tt.index, plan[0].Index))
			require.Equal(t, tt.reverse, plan[0].Reverse)
			require.Equal(t, tt.exact, plan[0].Exact)
		})
	}
}

func TestIndexKeys(t *testing.T) {
	d := &document.Document{Path: name.Path{"c", "d"}, Fields: map[string]*pb.Value{
		"a": value.Int(1), "list": value.Array([]*pb.Value{value.Int(1), value.Double(1), value.Int(2)}),
	}}
	index := func(cs ...query.Component) *query.Index {
		return &query.Index{Database: database, Collection: "c", Order: cs}
	}
	a, list, none := field.Path{"a"}, field.Path{"list"}, field.Path{"none"}
	require.Len(t, index(query.Component{Path: a}).Keys(nil, d), 1)
	require.Len(t, index(query.Component{Path: list}).Keys(nil, d), 1)
	require.Len(t, index(query.Component{Path: list, Elements: true}).Keys(nil, d), 2, "equal elements share a key")
	require.Empty(t, index(query.Component{Path: a, Elements: true}).Keys(nil, d), "no array, no elements")
	require.Empty(t, index(query.Component{Path: a}, query.Component{Path: none}).Keys(nil, d))
	require.Empty(t, index(query.Component{Path: a}).Keys(nil, nil))
	other := &document.Document{Path: name.Path{"other", "d"}, Fields: d.Fields}
	require.Empty(t, index(query.Component{Path: a}).Keys(nil, other))
}

func TestAggregationsLimitTheQuery(t *testing.T) {
	count := func(upTo int64) *pb.StructuredAggregationQuery_Aggregation {
		c := &pb.StructuredAggregationQuery_Aggregation_Count{}
		if upTo > 0 {
			c.UpTo = wrapperspb.Int64(upTo)
		}
		return &pb.StructuredAggregationQuery_Aggregation{Operator: &pb.StructuredAggregationQuery_Aggregation_Count_{Count: c}}
	}
	sum := &pb.StructuredAggregationQuery_Aggregation{Operator: &pb.StructuredAggregationQuery_Aggregation_Sum_{
		Sum: &pb.StructuredAggregationQuery_Aggregation_Sum{Field: ref("a")}}}
	type list = []*pb.StructuredAggregationQuery_Aggregation
	for name, tt := range map[string]struct {
		ask  list
		want int
	}{
		"bounded counts":  {list{count(3), count(7)}, 7},
		"unbounded count": {list{count(3), count(0)}, 0},
		"sum":             {list{count(3), sum}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			as, err := query.ParseAggregations(tt.ask)
			require.NoError(t, err)
			require.Equal(t, tt.want, as.LimitQuery(&query.Query{}).Limit)
			for range 10 {
				as.Add(&document.Document{Fields: map[string]*pb.Value{"a": value.Int(1)}})
			}
			require.EqualValues(t, 3, as.Result().GetAggregateFields()["field_1"].GetIntegerValue())
		})
	}
	for name, ask := range map[string]list{"none": {}, "six": {count(1), count(1), count(1), count(1), count(1), count(1)}, "no operator": {{}}, "no field": {{Operator: &pb.StructuredAggregationQuery_Aggregation_Avg_{}}}} {
		_, err := query.ParseAggregations(ask)
		require.Equal(t, codes.InvalidArgument, status.Code(err), name)
	}
}

// TestSumsDoNotDependOnOrder adds numbers for which simple addition gives a wrong result in some orders.
func TestSumsDoNotDependOnOrder(t *testing.T) {
	for _, numbers := range [][]*pb.Value{
		{value.Double(1e100), value.Double(1), value.Double(-1e100)},
		{value.Double(1), value.Double(1e100), value.Double(-1e100)},
		{value.Double(-1e100), value.Double(1e100), value.Int(1)},
	} {
		as, err := query.ParseAggregations([]*pb.StructuredAggregationQuery_Aggregation{{Alias: "s", Operator: &pb.StructuredAggregationQuery_Aggregation_Sum_{
			Sum: &pb.StructuredAggregationQuery_Aggregation_Sum{Field: ref("a")}}}})
		require.NoError(t, err)
		for _, n := range numbers {
			as.Add(&document.Document{Fields: map[string]*pb.Value{"a": n}})
		}
		require.Equal(t, 1.0, as.Result().GetAggregateFields()["s"].GetDoubleValue())
	}
}
