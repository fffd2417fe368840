package firestore_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	client "cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/firestore"
)

// ids returns the document IDs of a query's results.
func ids(t *testing.T, q client.Query) []string {
	t.Helper()
	docs, err := q.Documents(t.Context()).GetAll()
	require.NoError(t, err)
	out := []string{}
	for _, d := range docs {
		require.False(t, d.ReadTime.Before(d.UpdateTime))
		out = append(out, d.Ref.ID)
	}
	return out
}

func TestFilters(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	nan := math.NaN()
	for id, v := range map[string]any{
		"a-null": nil, "b-false": false, "c-nan": nan, "d-1": -1, "e0": 0, "f1": 1, "g1.5": 1.5, "h2": 2.0,
		"i-time": time.Unix(0, 0), "j-x": "x", "k-list": []any{1, "x", nan}, "l-map": map[string]any{"a": 1},
	} {
		_, err := c.Doc("c/"+id).Set(t.Context(), map[string]any{"v": v, "w": 1})
		require.NoError(t, err)
	}
	_, err := c.Doc("c/z-none").Set(t.Context(), map[string]any{"w": 1})
	require.NoError(t, err)
	col := c.Collection("c")
	where := func(op string, v any) client.EntityFilter {
		return client.PropertyFilter{Path: "v", Operator: op, Value: v}
	}
	for _, tt := range []struct {
		name string
		q    client.Query
		want []string
	}{
		{"== number", col.Where("v", "==", 1.0), []string{"f1"}},
		{"== null", col.Where("v", "==", nil), []string{"a-null"}},
		{"== NaN", col.Where("v", "==", nan), []string{"c-nan"}},
		{"!= null", col.Where("v", "!=", nil), []string{"b-false", "c-nan", "d-1", "e0", "f1", "g1.5", "h2", "i-time", "j-x", "k-list", "l-map"}},
		{"!= NaN", col.Where("v", "!=", nan), []string{"b-false", "d-1", "e0", "f1", "g1.5", "h2", "i-time", "j-x", "k-list", "l-map"}},
		{"!= number", col.Where("v", "!=", 1), []string{"b-false", "c-nan", "d-1", "e0", "g1.5", "h2", "i-time", "j-x", "k-list", "l-map"}},
		{"<= number", col.Where("v", "<=", 0), []string{"d-1", "e0"}},
		{"< number, descending", col.Where("v", "<", 1).OrderBy("v", client.Desc), []string{"e0", "d-1"}},
		{">= number", col.Where("v", ">=", -1).Where("v", "<", 1), []string{"d-1", "e0"}},
		{"limit 0", col.OrderBy("v", client.Asc).Limit(0), []string{}},
		{"limit 0 with a filter", col.Where("v", ">", 0).Limit(0), []string{}},
		{"NaN in an order", col.OrderBy("v", client.Asc).Limit(4), []string{"a-null", "b-false", "c-nan", "d-1"}},
		{"> matches only numbers", col.Where("v", ">", 0), []string{"f1", "g1.5", "h2"}},
		{"range", col.Where("v", ">=", 0).Where("v", "<", 1.5), []string{"e0", "f1"}},
		{"<= text", col.Where("v", "<=", "x"), []string{"j-x"}},
		{"in", col.Where("v", "in", []any{2, "x", 7}), []string{"h2", "j-x"}},
		{"not-in", col.Where("v", "not-in", []any{2, "x", nan}), []string{"b-false", "d-1", "e0", "f1", "g1.5", "i-time", "k-list", "l-map"}},
		{"not-in with null", col.Where("v", "not-in", []any{1, nil}), []string{}},
		{"array-contains", col.Where("v", "array-contains", 1), []string{"k-list"}},
		{"array-contains-any", col.Where("v", "array-contains-any", []any{7, "x"}), []string{"k-list"}},
		{"map", col.Where("v", "==", map[string]any{"a": 1.0}), []string{"l-map"}},
		{"field of map", col.Where("v.a", "==", 1), []string{"l-map"}},
		{"missing field", col.Where("none", "==", 1), []string{}},
		{"or", col.WhereEntity(client.OrFilter{Filters: []client.EntityFilter{where("==", "x"), where(">", 1.5)}}), []string{"h2", "j-x"}},
		{"or and", col.Where("w", "==", 1).WhereEntity(client.OrFilter{Filters: []client.EntityFilter{where("==", 1), where("==", false)}}), []string{"b-false", "f1"}},
		{"order excludes documents without the field", col.OrderBy("v", client.Desc).Limit(2), []string{"l-map", "k-list"}},
		{"limit to last", col.OrderBy("v", client.Asc).LimitToLast(2), []string{"k-list", "l-map"}},
		{"offset", col.OrderBy("v", client.Asc).Offset(1).Limit(2), []string{"b-false", "c-nan"}},
		{"start at", col.OrderBy("v", client.Asc).StartAt(1.5).EndBefore("x"), []string{"g1.5", "h2", "i-time"}},
		{"start after", col.OrderBy("v", client.Asc).StartAfter(1.5).EndAt("x"), []string{"h2", "i-time", "j-x"}},
		{"cursors, descending", col.OrderBy("v", client.Desc).StartAfter(1.5).EndAt(-1), []string{"f1", "e0", "d-1"}},
		{"name range", col.Where(client.DocumentID, ">", col.Doc("h2")).Where(client.DocumentID, "<=", col.Doc("j-x")), []string{"i-time", "j-x"}},
		{"name in", col.Where(client.DocumentID, "in", []*client.DocumentRef{col.Doc("h2"), col.Doc("e0")}), []string{"e0", "h2"}},
		{"name descending", col.OrderBy(client.DocumentID, client.Desc).Limit(1), []string{"z-none"}},
		{"two inequalities", col.Where("v", ">", 0).Where("w", "<", 2), []string{"f1", "g1.5", "h2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Empty(t, cmp.Diff(tt.want, ids(t, tt.q)))
		})
	}
}

func TestProjection(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	_, err := c.Doc("c/d").Set(t.Context(), map[string]any{"a": 1, "m": map[string]any{"x": 1, "y": 2}})
	require.NoError(t, err)
	for _, tt := range []struct {
		paths []string
		want  map[string]any
	}{
		{[]string{"a"}, map[string]any{"a": int64(1)}},
		{[]string{"m.x", "none"}, map[string]any{"m": map[string]any{"x": int64(1)}}},
		{[]string{"m.x", "m"}, map[string]any{"m": map[string]any{"x": int64(1), "y": int64(2)}}},
		{[]string{client.DocumentID}, map[string]any{}},
	} {
		docs, err := c.Collection("c").Select(tt.paths...).Documents(t.Context()).GetAll()
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(tt.want, docs[0].Data()), "%v", tt.paths)
	}
}

func TestInvalidQueries(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	col := c.Collection("c")
	many := make([]int, 31)
	for name, q := range map[string]client.Query{
		"two array filters":           col.Where("a", "array-contains", 1).Where("b", "array-contains-any", []int{1}),
		"in with too many values":     col.Where("a", "in", many),
		"in without values":           col.Where("a", "in", []int{}),
		"not-in with too many values": col.Where("a", "not-in", many[:11]),
		"not-in and not-equal":        col.Where("a", "not-in", many[:2]).Where("b", "!=", 1),
		"not-in and in":               col.Where("a", "not-in", many[:2]).Where("b", "in", many[:2]),
		"too many disjunctions":       col.Where("a", "in", many[:6]).Where("b", "in", many[:6]),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := q.Documents(t.Context()).GetAll()
			require.Error(t, err)
			if s, ok := status.FromError(err); ok {
				require.Equal(t, codes.InvalidArgument, s.Code(), "%v", err)
			}
		})
	}
}

func TestAggregations(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	for i, v := range []any{1, 2, 0.5, "text", nil} {
		_, err := c.Doc(fmt.Sprintf("c/%d", i)).Set(t.Context(), map[string]any{"v": v, "i": i})
		require.NoError(t, err)
	}
	for id, fields := range map[string]map[string]any{"x": {"a": 1}, "y": {"b": 2}, "z": {"a": 10, "b": 20}, "text": {"a": "text", "b": 3}} {
		_, err := c.Doc("partial/"+id).Set(t.Context(), fields)
		require.NoError(t, err)
	}
	partial := c.Collection("partial").Query
	noPartial := partial.Limit(0)
	integer := func(n int64) *pb.Value {
		return &pb.Value{ValueType: &pb.Value_IntegerValue{IntegerValue: n}}
	}
	double := func(f float64) *pb.Value { return &pb.Value{ValueType: &pb.Value_DoubleValue{DoubleValue: f}} }
	all := c.Collection("c").Query
	whole := all.Where("i", "<", 2)
	none := all.Where("i", ">", 9)
	for _, tt := range []struct {
		name string
		q    *client.AggregationQuery
		want map[string]*pb.Value
	}{
		{"all", all.NewAggregationQuery().WithCount("n").WithSum("v", "s").WithAvg("v", "a"), map[string]*pb.Value{"n": integer(5), "s": double(3.5), "a": double(3.5 / 3)}},
		{"integers", whole.NewAggregationQuery().WithCount("n").WithSum("v", "s").WithAvg("v", "a"), map[string]*pb.Value{"n": integer(2), "s": integer(3), "a": double(1.5)}},
		{"only documents with all fields", partial.NewAggregationQuery().WithSum("a", "s").WithAvg("b", "a").WithCount("n"), map[string]*pb.Value{"n": integer(2), "s": integer(10), "a": double(11.5)}},
		{"only documents with the field", partial.NewAggregationQuery().WithSum("a", "s").WithCount("n"), map[string]*pb.Value{"n": integer(3), "s": integer(11)}},
		{"count", partial.NewAggregationQuery().WithCount("n"), map[string]*pb.Value{"n": integer(4)}},
		{"limit 0", noPartial.NewAggregationQuery().WithCount("n"), map[string]*pb.Value{"n": integer(0)}},
		{"sum with limit 0", noPartial.NewAggregationQuery().WithSum("a", "n"), map[string]*pb.Value{"n": integer(0)}},
		{"nothing", none.NewAggregationQuery().WithCount("n").WithSum("v", "s").WithAvg("v", "a"), map[string]*pb.Value{"n": integer(0), "s": integer(0), "a": {ValueType: &pb.Value_NullValue{}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.q.Get(t.Context())
			require.NoError(t, err)
			for alias, want := range tt.want {
				require.Equal(t, want.String(), got[alias].(*pb.Value).String(), alias)
			}
		})
	}
	limited := all.Limit(3)
	got, err := limited.NewAggregationQuery().WithCount("n").Get(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, got["n"].(*pb.Value).GetIntegerValue())
}

func TestPartitionsCoverCollectionGroup(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	require.NoError(t, commitWrites(t.Context(), c, func(tx *client.Transaction) (err error) {
		for i := range 100 {
			err = errors.Join(err, tx.Set(c.Doc(fmt.Sprintf("p/%d/c/%02d", i%7, i)), map[string]any{}))
		}
		return err
	}))
	parts, err := c.CollectionGroup("c").GetPartitionedQueries(t.Context(), 4)
	require.NoError(t, err)
	require.Len(t, parts, 5, "four split points, so five parts")
	seen := map[string]bool{}
	for _, q := range parts {
		docs, err := q.Documents(t.Context()).GetAll()
		require.NoError(t, err)
		require.Len(t, docs, 20)
		for _, d := range docs {
			seen[d.Ref.Path] = true
		}
	}
	require.Len(t, seen, 100)
}

// TestIndexedQueries runs queries over enough documents that the store builds indexes.
func TestIndexedQueries(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	base := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	require.NoError(t, commitWrites(t.Context(), c, func(tx *client.Transaction) (err error) {
		for i := range 480 {
			doc := c.Doc(fmt.Sprintf("tenants/%s/executions/e%03d", []string{"ann", "bob"}[i%2], i))
			err = errors.Join(err, tx.Create(doc, map[string]any{"status": []string{"queued", "running"}[i/2%2], "due": base.Add(time.Duration(i) * time.Second)}))
		}
		return err
	}))
	due := c.CollectionGroup("executions").Where("due", "<=", base.Add(100*time.Second)).OrderBy("due", client.Asc).Limit(5)
	require.Equal(t, []string{"e000", "e001", "e002", "e003", "e004"}, ids(t, due))
	queued := c.Collection("tenants/ann/executions").Where("status", "==", "queued").OrderBy("due", client.Desc).Limit(3)
	require.Equal(t, []string{"e476", "e472", "e468"}, ids(t, queued))
	_, err := c.Doc("tenants/ann/executions/e476").Update(t.Context(), []client.Update{{Path: "status", Value: "running"}})
	require.NoError(t, err)
	_, err = c.Doc("tenants/ann/executions/e472").Delete(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"e468", "e464", "e460"}, ids(t, queued))
	all := c.CollectionGroup("executions").Where("status", "==", "queued")
	got, err := all.NewAggregationQuery().WithCount("n").Get(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 238, got["n"].(*pb.Value).GetIntegerValue())
}
