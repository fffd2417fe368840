package firestore_test

import (
	"fmt"
	"strings"
	"testing"

	client "cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/firestore"
)

const someIndexes = `{
  "indexes": [
    {"collectionGroup": "c", "queryScope": "COLLECTION", "fields": [
      {"fieldPath": "city", "order": "ASCENDING"}, {"fieldPath": "stars", "order": "DESCENDING"}]},
    {"collectionGroup": "c", "queryScope": "COLLECTION", "fields": [
      {"fieldPath": "kind", "order": "ASCENDING"}, {"fieldPath": "stars", "order": "DESCENDING"}]},
    {"collectionGroup": "c", "queryScope": "COLLECTION", "fields": [
      {"fieldPath": "tags", "arrayConfig": "CONTAINS"}, {"fieldPath": "stars", "order": "DESCENDING"}]},
    {"collectionGroup": "c", "queryScope": "COLLECTION", "fields": [
      {"fieldPath": "day", "order": "ASCENDING"}, {"fieldPath": "cost", "order": "ASCENDING"}]},
    {"collectionGroup": "c", "queryScope": "COLLECTION_GROUP", "fields": [
      {"fieldPath": "kind", "order": "ASCENDING"}, {"fieldPath": "day", "order": "ASCENDING"}]}
  ],
  "fieldOverrides": [
    {"collectionGroup": "c", "fieldPath": "due", "indexes": [{"order": "ASCENDING", "queryScope": "COLLECTION_GROUP"}]},
    {"collectionGroup": "c", "fieldPath": "secret", "indexes": []},
    {"collectionGroup": "c", "fieldPath": "secret.id", "indexes": [{"order": "ASCENDING", "queryScope": "COLLECTION"}]},
    {"collectionGroup": "log", "fieldPath": "*", "indexes": []}
  ]
}`

func parseIndexes(t testing.TB, content string) *firestore.Indexes {
	t.Helper()
	x, err := firestore.ParseIndexes([]byte(content))
	require.NoError(t, err)
	return x
}

// The cases follow Google's pages "Index types" and "Manage indexes".
func TestStrictServesQueriesWithTheirIndex(t *testing.T) {
	t.Parallel()
	c := start(t, firestore.Options{Indexes: parseIndexes(t, someIndexes)}).Client
	col, group := c.Collection("c"), c.CollectionGroup("c").Query
	asc, desc := client.Asc, client.Desc
	for name, q := range map[string]client.Query{
		"all":                           col.Query,
		"by name":                       col.OrderBy(client.DocumentID, asc),
		"one equality":                  col.Where("free", "==", 1),
		"one range":                     col.Where("free", ">", 1).Where("free", "<", 3),
		"range in the other direction":  col.Where("free", ">", 1).OrderBy("free", desc),
		"not equal":                     col.Where("free", "!=", 1),
		"order and names of one way":    col.OrderBy("free", desc).OrderBy(client.DocumentID, desc),
		"in":                            col.Where("free", "in", []int{1, 2}),
		"array contains":                col.Where("list", "array-contains", 1),
		"array contains any":            col.Where("list", "array-contains-any", []int{1, 2}),
		"merged equalities":             col.Where("a", "==", 1).Where("b", "in", []int{1, 2}).Where("list", "array-contains", 1),
		"merged equalities from behind": col.Where("a", "==", 1).Where("b", "==", 1).OrderBy(client.DocumentID, desc),
		"equality and range of names":   col.Where("a", "==", 1).Where(client.DocumentID, ">", col.Doc("x")),
		"map":                           col.Where("a.b", "==", 1),
		"composite":                     col.Where("city", "==", "x").OrderBy("stars", desc),
		"composite with range":          col.Where("city", "==", "x").Where("stars", ">", 3).OrderBy("stars", desc),
		"merged composites": col.Where("city", "==", "x").Where("kind", "==", "y").
			Where("tags", "array-contains", "z").OrderBy("stars", desc),
		"order by an equality":     col.Where("free", "==", 1).OrderBy("free", desc),
		"two orders":               col.OrderBy("day", asc).OrderBy("cost", asc),
		"group":                    group,
		"group with override":      group.Where("due", "<", 1).OrderBy("due", asc),
		"group with composite":     group.Where("kind", "==", 1).OrderBy("day", asc),
		"field of an exempted map": col.Where("secret.id", "==", 1),
	} {
		_, err := q.Documents(t.Context()).GetAll()
		require.NoError(t, err, name)
	}
	sum := func(q client.Query) *client.AggregationQuery { return q.NewAggregationQuery().WithSum("cost", "sum") }
	equality := col.Where("a", "==", 1)
	for name, q := range map[string]*client.AggregationQuery{
		"count":              equality.NewAggregationQuery().WithCount("n"),
		"sum":                sum(col.Query),
		"sum of a range":     sum(col.Where("day", ">", 1)),
		"sum of an equality": sum(col.Where("day", "==", 1)),
	} {
		_, err := q.Get(t.Context())
		require.NoError(t, err, name)
	}
}

func TestStrictRefusesQueriesWithoutIndex(t *testing.T) {
	t.Parallel()
	x := parseIndexes(t, someIndexes)
	c := start(t, firestore.Options{Indexes: x}).Client
	col, group := c.Collection("c"), c.CollectionGroup("c").Query
	asc, desc := client.Asc, client.Desc
	composite := func(scope, fields string) string {
		return fmt.Sprintf(`"indexes" in firestore.indexes.json: {"collectionGroup":"c","queryScope":%q,"fields":[%s]}`, scope, fields)
	}
	up := func(p string) string { return fmt.Sprintf(`{"fieldPath":%q,"order":"ASCENDING"}`, p) }
	down := func(p string) string { return fmt.Sprintf(`{"fieldPath":%q,"order":"DESCENDING"}`, p) }
	override := func(p, indexes string) string {
		return fmt.Sprintf(`{"collectionGroup":"c","fieldPath":%q,"indexes":[%s]}`, p, indexes)
	}
	ascending := func(scope string) string { return fmt.Sprintf(`{"order":"ASCENDING","queryScope":%q}`, scope) }
	for name, tt := range map[string]struct {
		q    client.Query
		want string
	}{
		"names from behind":       {col.OrderBy(client.DocumentID, desc), composite("COLLECTION", down("__name__"))},
		"equality and order":      {col.Where("a", "==", 1).OrderBy("b", desc), composite("COLLECTION", up("a")+","+down("b"))},
		"equality and range":      {col.Where("a", "==", 1).Where("b", ">", 1), composite("COLLECTION", up("a")+","+up("b"))},
		"in and order":            {col.Where("a", "in", []int{1, 2}).OrderBy("b", asc), composite("COLLECTION", up("a")+","+up("b"))},
		"the other direction":     {col.Where("city", "==", "x").OrderBy("stars", asc), composite("COLLECTION", up("city")+","+up("stars"))},
		"two ranges":              {col.Where("a", ">", 1).Where("b", ">", 1), composite("COLLECTION", up("a")+","+up("b"))},
		"names of another way":    {col.OrderBy("a", desc).OrderBy(client.DocumentID, asc), composite("COLLECTION", down("a")+","+up("__name__"))},
		"one of the merged lacks": {col.Where("city", "==", "x").Where("a", "==", 1).OrderBy("stars", desc), composite("COLLECTION", up("a")+","+up("city")+","+down("stars"))},
		"array and order": {
			col.Where("list", "array-contains", 1).OrderBy("b", asc),
			composite("COLLECTION", `{"fieldPath":"list","arrayConfig":"CONTAINS"},`+up("b")),
		},
		"order of one disjunct": {
			col.WhereEntity(client.OrFilter{Filters: []client.EntityFilter{
				client.PropertyFilter{Path: "city", Operator: "==", Value: "x"}, client.PropertyFilter{Path: "a", Operator: "==", Value: 1},
			}}).OrderBy("stars", desc),
			composite("COLLECTION", up("a")+","+down("stars")),
		},
		"group without override":        {group.Where("a", "==", 1), override("a", ascending("COLLECTION_GROUP"))},
		"group with merged fields":      {group.Where("a", "==", 1).Where("due", "==", 1), composite("COLLECTION_GROUP", up("a")+","+up("due"))},
		"group in the other direction":  {group.OrderBy("due", desc), override("due", ascending("COLLECTION_GROUP")+`,{"order":"DESCENDING","queryScope":"COLLECTION_GROUP"}`)},
		"collection of a group's field": {col.Where("due", "<", 1), override("due", ascending("COLLECTION_GROUP")+","+ascending("COLLECTION"))},
		"exempted":                      {col.Where("secret", "==", 1), override("secret", ascending("COLLECTION"))},
		"field of an exempted map":      {col.Where("secret.name", "==", 1), override("secret.name", ascending("COLLECTION"))},
		"exempted collection":           {c.Collection("log").Where("a", "==", 1), `{"collectionGroup":"log","fieldPath":"a","indexes":[` + ascending("COLLECTION") + "]}"},
	} {
		_, err := tt.q.Documents(t.Context()).GetAll()
		require.Equal(t, codes.FailedPrecondition, status.Code(err), "%s: %v", name, err)
		require.Contains(t, err.Error(), tt.want, name)
	}
	equality := col.Where("a", "==", 1)
	equalityAndRange := equality.Where("b", ">", 1)
	for name, q := range map[string]*client.AggregationQuery{
		"count": equalityAndRange.NewAggregationQuery().WithCount("n"),
		"sum":   equality.NewAggregationQuery().WithSum("b", "sum"),
	} {
		_, err := q.Get(t.Context())
		require.Equal(t, codes.FailedPrecondition, status.Code(err), name)
		require.Contains(t, err.Error(), composite("COLLECTION", up("a")+","+up("b")), name)
	}
	_, err := col.Where("a", "==", 1).OrderBy("b", asc).Snapshots(t.Context()).Next()
	require.Equal(t, codes.FailedPrecondition, status.Code(err), "a listener: %v", err)
	_, err = start(t, firestore.Options{}).Client.Collection("c").Where("a", "==", 1).OrderBy("b", asc).Documents(t.Context()).GetAll()
	require.NoError(t, err, "without strict mode no index is missing")
}

// What a refusal says to add is what the query needs.
func TestStrictSuggestionServesTheQuery(t *testing.T) {
	t.Parallel()
	for _, build := range []func(*client.Client) client.Query{
		func(c *client.Client) client.Query {
			return c.CollectionGroup("c").Where("a", "==", 1).OrderBy("b", client.Desc)
		},
		func(c *client.Client) client.Query { return c.CollectionGroup("c").Where("a.b", ">", 1) },
		func(c *client.Client) client.Query {
			return c.Collection("c").Where("a", "array-contains", 1).OrderBy("b", client.Desc).OrderBy(client.DocumentID, client.Asc)
		},
	} {
		c := start(t, firestore.Options{Indexes: parseIndexes(t, "{}")}).Client
		_, err := build(c).Documents(t.Context()).GetAll()
		section, index, found := strings.Cut(status.Convert(err).Message(), " in firestore.indexes.json: ")
		require.True(t, found, err)
		section = section[strings.LastIndexByte(section[:len(section)-1], '"'):]
		x := parseIndexes(t, fmt.Sprintf("{%s: [%s]}", section, index))
		_, err = build(start(t, firestore.Options{Indexes: x}).Client).Documents(t.Context()).GetAll()
		require.NoError(t, err)
	}
}

func TestStrictKnowsUnusedIndexes(t *testing.T) {
	t.Parallel()
	x := parseIndexes(t, someIndexes)
	require.Len(t, x.Unused(), 9)
	c := start(t, firestore.Options{Indexes: x}).Client
	_, err := c.Doc("c/x").Set(t.Context(), map[string]any{"due": 1, "secret": map[string]any{"id": 1}})
	require.NoError(t, err)
	for range 2 {
		_, err = c.Collection("c").Where("city", "==", "x").Where("kind", "==", "y").OrderBy("stars", client.Desc).Documents(t.Context()).GetAll()
		require.NoError(t, err)
	}
	_, err = c.Collection("c").Where("secret.id", "==", 1).Documents(t.Context()).GetAll()
	require.NoError(t, err)
	unused := strings.Join(x.Unused(), "\n")
	require.Len(t, x.Unused(), 5)
	for _, want := range []string{"tags", "cost", `"COLLECTION_GROUP","fields"`, `"due"`, `"log"`} {
		require.Contains(t, unused, want)
	}
	queries := x.Queries()
	require.Len(t, queries, 2)
	require.Equal(t, "c where city == and kind == order by stars desc, __name__ desc", queries[0].Query)
	require.Len(t, queries[0].Indexes, 2)
	require.EqualValues(t, 2, queries[0].Count)
}

func TestInvalidIndexesAreRefused(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"[]": "cannot unmarshal",
		`{"indexes": [{"collectionGroup": "c", "queryScope": "X", "fields": [{"fieldPath": "a", "order": "ASCENDING"}]}]}`:            "queryScope must be",
		`{"indexes": [{"collectionGroup": "c", "queryScope": "COLLECTION", "fields": []}]}`:                                           "needs a collectionGroup and fields",
		`{"indexes": [{"collectionGroup": "c", "queryScope": "COLLECTION", "fields": [{"fieldPath": "a"}]}]}`:                         "needs an order",
		`{"indexes": [{"collectionGroup": "c", "queryScope": "COLLECTION", "fields": [{"fieldPath": "a-b", "order": "ASCENDING"}]}]}`: "Invalid property path",
		`{"fieldOverrides": [{"collectionGroup": "c", "fieldPath": "a", "indexes": [{"order": "UP", "queryScope": "COLLECTION"}]}]}`:  "needs an order",
		`{"fieldOverrides": [{"collectionGroup": "c", "fieldPath": "a..b", "indexes": []}]}`:                                          "Invalid property path",
	} {
		_, err := firestore.ParseIndexes([]byte(content))
		require.ErrorContains(t, err, want)
	}
	_, err := firestore.ReadIndexes("no/such/file")
	require.Error(t, err)
}
