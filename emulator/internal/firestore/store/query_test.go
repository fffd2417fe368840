package store_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// documents contains every document at one time: a store without indexes, history and disk.
type documents map[string]*document.Document

// fullScan runs a query by reading all documents.
func (s documents) fullScan(q *query.Query) []string {
	var found []*document.Document
	for _, d := range s {
		if q.Matches(d) && !q.BeforeStart(d) && !q.AfterEnd(d) {
			found = append(found, d)
		}
	}
	slices.SortFunc(found, q.Compare)
	found = found[min(q.Offset, len(found)):]
	if q.Limit > 0 {
		found = found[:min(q.Limit, len(found))]
	}
	return names(found)
}

func names(docs []*document.Document) []string {
	out := make([]string, 0, len(docs))
	for _, d := range docs {
		out = append(out, d.Path.String())
	}
	return out
}

// There are few fields and values, so that random queries match random documents.
var (
	genValue = rapid.Custom(func(t *rapid.T) *pb.Value {
		return rapid.SampledFrom([]*pb.Value{
			value.Null, value.NaN, boolean(false), boolean(true), value.Int(-1), value.Int(0), value.Double(math.Copysign(0, -1)),
			value.Int(1), value.Double(1), value.Double(1.5), value.Int(1 << 60), value.Int(1<<60 + 1), text(""), text("a"), text("a\x00b"), text("b"),
			value.Array(nil), value.Array([]*pb.Value{value.Int(1), text("a")}), value.Array([]*pb.Value{text("a"), text("a"), value.NaN}), object("a", value.Int(1)),
		}).Draw(t, "value")
	})
	genField = rapid.SampledFrom([]string{"a", "b", "m.x"})
	genPath  = rapid.Custom(func(t *rapid.T) name.Path {
		ids := rapid.SampledFrom([]string{"1", "2", "x", "__id7__", "__id-3__", "a b"})
		switch rapid.IntRange(0, 3).Draw(t, "place") {
		case 0:
			return name.Path{"c", ids.Draw(t, "id")}
		case 1:
			return name.Path{"p", ids.Draw(t, "parent"), "c", ids.Draw(t, "id")}
		case 2:
			return name.Path{"c", ids.Draw(t, "parent"), "c", ids.Draw(t, "id")}
		}
		return name.Path{"other", ids.Draw(t, "id")}
	})
	genFields = rapid.Custom(func(t *rapid.T) map[string]*pb.Value {
		fields := map[string]*pb.Value{}
		for _, f := range []string{"a", "b"} {
			if rapid.IntRange(0, 4).Draw(t, "has") > 0 {
				fields[f] = genValue.Draw(t, f)
			}
		}
		if rapid.Bool().Draw(t, "map") {
			fields["m"] = object("x", genValue.Draw(t, "x"))
		}
		return fields
	})
)

func genFilter(depth int) *rapid.Generator[*pb.StructuredQuery_Filter] {
	return rapid.Custom(func(t *rapid.T) *pb.StructuredQuery_Filter {
		if depth > 0 && rapid.IntRange(0, 2).Draw(t, "composite") > 0 {
			op := rapid.SampledFrom([]pb.StructuredQuery_CompositeFilter_Operator{pb.StructuredQuery_CompositeFilter_AND, pb.StructuredQuery_CompositeFilter_OR}).Draw(t, "op")
			parts := rapid.SliceOfN(genFilter(depth-1), 1, 3).Draw(t, "parts")
			return &pb.StructuredQuery_Filter{FilterType: &pb.StructuredQuery_Filter_CompositeFilter{
				CompositeFilter: &pb.StructuredQuery_CompositeFilter{Op: op, Filters: parts}}}
		}
		field := &pb.StructuredQuery_FieldReference{FieldPath: genField.Draw(t, "field")}
		if rapid.IntRange(0, 5).Draw(t, "unary") == 0 {
			op := pb.StructuredQuery_UnaryFilter_Operator(rapid.IntRange(2, 5).Draw(t, "op"))
			return &pb.StructuredQuery_Filter{FilterType: &pb.StructuredQuery_Filter_UnaryFilter{
				UnaryFilter: &pb.StructuredQuery_UnaryFilter{Op: op, OperandType: &pb.StructuredQuery_UnaryFilter_Field{Field: field}}}}
		}
		op := query.Op(rapid.IntRange(1, 10).Draw(t, "op"))
		v := genValue.Draw(t, "operand")
		if op == query.In || op == query.NotIn || op == query.ArrayContainsAny {
			v = value.Array(rapid.SliceOfN(genValue, 1, 3).Draw(t, "operands"))
		}
		return &pb.StructuredQuery_Filter{FilterType: &pb.StructuredQuery_Filter_FieldFilter{
			FieldFilter: &pb.StructuredQuery_FieldFilter{Field: field, Op: op, Value: v}}}
	})
}

// genQuery draws queries. The result is nil for a query that exceeds a documented limit.
func genQuery() *rapid.Generator[*query.Query] {
	return rapid.Custom(func(t *rapid.T) *query.Query {
		from := &pb.StructuredQuery_CollectionSelector{CollectionId: "c", AllDescendants: rapid.Bool().Draw(t, "group")}
		s := &pb.StructuredQuery{From: []*pb.StructuredQuery_CollectionSelector{from}}
		if rapid.IntRange(0, 9).Draw(t, "kindless") == 0 {
			from.CollectionId, from.AllDescendants = "", true
		}
		if rapid.Bool().Draw(t, "filtered") {
			s.Where = genFilter(2).Draw(t, "where")
		}
		cursorSize := 0
		for _, f := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "m.x", "__name__"}), 0, 3, rapid.ID).Draw(t, "orders") {
			direction := rapid.SampledFrom([]pb.StructuredQuery_Direction{pb.StructuredQuery_ASCENDING, pb.StructuredQuery_DESCENDING}).Draw(t, "direction")
			s.OrderBy = append(s.OrderBy, &pb.StructuredQuery_Order{Field: &pb.StructuredQuery_FieldReference{FieldPath: f}, Direction: direction})
			cursorSize++
		}
		s.StartAt = genCursor(t, s, rapid.IntRange(0, cursorSize).Draw(t, "start"))
		s.EndAt = genCursor(t, s, rapid.IntRange(0, cursorSize).Draw(t, "end"))
		if n := rapid.IntRange(0, 4).Draw(t, "limit"); n > 0 {
			s.Limit = wrapperspb.Int32(int32(n))
		}
		s.Offset = int32(rapid.IntRange(0, 2).Draw(t, "offset"))
		parent := rapid.SampledFrom([]name.Path{nil, {"p", "1"}, {"c", "x"}}).Draw(t, "parent")
		q, err := query.Parse(database, parent, s)
		if err != nil {
			return nil
		}
		return q
	})
}

func genCursor(t *rapid.T, s *pb.StructuredQuery, size int) *pb.Cursor {
	c := &pb.Cursor{Before: rapid.Bool().Draw(t, "before")}
	for _, o := range s.GetOrderBy()[:size] {
		if o.GetField().GetFieldPath() == "__name__" {
			c.Values = append(c.Values, value.Reference(genPath.Draw(t, "at").ResourceName(database)))
		} else {
			c.Values = append(c.Values, genValue.Draw(t, "at"))
		}
	}
	return c
}

// TestQueriesMatchFullScan compares plans, indexes and history with a full scan, while documents are created, changed
// and deleted. It repeats the same queries at all stages.
func TestQueriesMatchFullScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := open(t, store.Options{ScanLimit: 1})
		queries := rapid.SliceOfN(genQuery(), 3, 10).Draw(t, "queries")
		queries = slices.DeleteFunc(queries, func(q *query.Query) bool { return q == nil })
		now := documents{}
		type moment struct {
			at    document.Time
			state documents
		}
		var moments []moment
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			for range rapid.IntRange(5, 30).Draw(t, "commits") {
				p := genPath.Draw(t, "path")
				key := p.String()
				if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
					commit(t, s, remove(p))
					delete(now, key)
					continue
				}
				fields := genFields.Draw(t, "fields")
				commit(t, s, set(p, fields))
				now[key] = &document.Document{Path: p, Fields: fields}
			}
			for _, q := range queries {
				require.NoError(t, s.EnsureIndexes(q))
				sn, err := s.Snapshot(database)
				require.NoError(t, err)
				want := now.fullScan(q)
				require.Equal(t, want, run(t, sn, q), "now: %s", describe(q))
				if n, ok, err := sn.Count(q); ok {
					require.NoError(t, err)
					require.Equal(t, len(want), n, "counted: %s", describe(q))
				}
				moments = append(moments, moment{sn.Time, maps.Clone(now)})
				require.NoError(t, sn.Close())
			}
		}
		for _, m := range moments {
			sn, err := s.SnapshotAt(database, m.at)
			require.NoError(t, err)
			for _, q := range queries {
				require.Equal(t, m.state.fullScan(q), run(t, sn, q), "past: %s", describe(q))
			}
			require.NoError(t, sn.Close())
		}
	})
}

// No document matches a range that begins or ends at NaN, also where only the entries of an index are counted.
func TestCountOfRangeAtNaN(t *testing.T) {
	s := open(t, store.Options{ScanLimit: 1})
	for i, v := range []*pb.Value{value.NaN, value.Int(-1), value.Int(0), value.Int(1)} {
		commit(t, s, set(name.Path{"c", strconv.Itoa(i)}, map[string]*pb.Value{"a": v}))
	}
	for _, op := range []query.Op{query.Less, query.LessOrEqual, query.Greater, query.GreaterOrEqual} {
		q := &query.Query{Database: database, Collection: "c", Filter: query.FieldFilter{Path: field.Path{"a"}, Op: op, Value: value.NaN},
			Order: []query.Order{{Path: field.Path{"a"}}, {Path: field.Path{field.DocumentID}}}}
		require.NoError(t, s.EnsureIndexes(q))
		sn, err := s.Snapshot(database)
		require.NoError(t, err)
		require.Empty(t, run(t, sn, q), op)
		n, ok, err := sn.Count(q)
		require.NoError(t, err)
		require.False(t, ok && n > 0, "counted %d: %s", n, describe(q))
		require.NoError(t, sn.Close())
	}
}

func describe(q *query.Query) string {
	return fmt.Sprintf("%+v", *q)
}
