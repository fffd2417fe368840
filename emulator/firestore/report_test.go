package firestore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	client "cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/emulator/firestore"
)

// startStrict starts a strict emulator with a clock of its own.
func startStrict(t *testing.T, indexes string) (*emulatortest.Firestore, *stoppedClock, *observer.ObservedLogs) {
	t.Helper()
	clock := &stoppedClock{now: time.Now().Truncate(time.Hour)}
	core, logs := observer.New(zapcore.WarnLevel)
	o := firestore.Options{Now: clock.Now, Indexes: parseIndexes(t, indexes), Logger: zap.New(core)}
	return emulatortest.StartFirestore(t, o), clock, logs
}

// stoppedClock moves only when the test advances it. So the rates of a report do not depend on the speed of the
// machine.
type stoppedClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *stoppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stoppedClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestReportBillsReads(t *testing.T) {
	t.Parallel()
	f, _, _ := startStrict(t, "{}")
	c, ctx := f.Client, t.Context()
	for i := range 3 {
		_, err := c.Doc(fmt.Sprintf("a/%d", i)).Create(ctx, map[string]any{"n": i})
		require.NoError(t, err)
	}
	want := firestore.Usage{Writes: 3}
	requireUsage := func(what string) {
		t.Helper()
		require.Equal(t, want, f.Server.Report().Collections["a"], what)
	}
	requireUsage("writes")

	_, _ = c.Doc("a/0").Get(ctx)
	_, _ = c.Doc("a/missing").Get(ctx)
	_, err := c.GetAll(ctx, []*client.DocumentRef{c.Doc("a/1"), c.Doc("a/none")})
	require.NoError(t, err)
	want.Reads.Gets = 4
	requireUsage("one for each document, also for a missing one")

	_, err = c.Collection("a").Documents(ctx).GetAll()
	require.NoError(t, err)
	_, err = c.Collection("a").Where("n", "==", 7).Documents(ctx).GetAll()
	require.NoError(t, err)
	_, err = c.Collection("a").Offset(2).Documents(ctx).GetAll()
	require.NoError(t, err)
	want.Reads.Queries = 3 + 1 + 3
	requireUsage("one for each result, at least one, and those that are skipped")

	q := c.Collection("a").Where("n", ">", 0)
	for range 2 {
		_, err = q.NewAggregationQuery().WithCount("n").Get(ctx)
		require.NoError(t, err)
	}
	_, err = q.NewAggregationQuery().WithSum("n", "n").Get(ctx)
	require.NoError(t, err)
	want.Reads.Aggregations = 3
	requireUsage("one for each thousand entries that are begun")

	// One transaction reads a document and a query, and writes and deletes.
	require.NoError(t, c.RunTransaction(ctx, func(_ context.Context, tx *client.Transaction) error {
		if _, err := tx.Get(c.Doc("a/0")); err != nil {
			return err
		}
		if err := tx.Set(c.Doc("a/0"), map[string]any{"n": 0}); err != nil { // changes nothing
			return err
		}
		return tx.Delete(c.Doc("a/2"))
	}))
	want.Reads.Gets, want.Writes, want.Deletes = want.Reads.Gets+1, want.Writes+1, 1
	requireUsage("a transaction")

	require.Error(t, c.RunTransaction(ctx, func(_ context.Context, tx *client.Transaction) error {
		return tx.Create(c.Doc("a/0"), map[string]any{"n": 0})
	}))
	requireUsage("a refused commit writes nothing")
	r := f.Server.Report()
	require.Equal(t, want, r.Total)
	require.EqualValues(t, 5+7+3, r.Total.Reads.Sum())
	require.Empty(t, r.Exceeded())
	require.Equal(t, firestore.Report{}, start(t, firestore.Options{}).Server.Report(), "not strict")
}

func TestReportBillsAggregationsByThousandEntries(t *testing.T) {
	t.Parallel()
	f, _, _ := startStrict(t, "{}")
	w := f.Client.BulkWriter(t.Context())
	for i := range 1001 {
		_, err := w.Create(f.Client.Doc(fmt.Sprintf("a/%d", i)), map[string]any{"n": i})
		require.NoError(t, err)
	}
	w.End()
	for _, q := range []client.Query{f.Client.Collection("a").Query, f.Client.Collection("a").Limit(1000)} {
		_, err := q.NewAggregationQuery().WithCount("n").Get(t.Context())
		require.NoError(t, err)
	}
	require.EqualValues(t, 2+1, f.Server.Report().Total.Reads.Aggregations)
	require.EqualValues(t, 1001, f.Server.Report().Total.Writes)
}

func TestReportBillsListeners(t *testing.T) {
	t.Parallel()
	f, _, _ := startStrict(t, "{}")
	c, ctx := f.Client, t.Context()
	set := func(id string, n int) {
		t.Helper()
		_, err := c.Doc("a/"+id).Set(ctx, map[string]any{"n": n})
		require.NoError(t, err)
	}
	set("0", 1)
	it := c.Collection("a").Where("n", ">", 0).Snapshots(ctx)
	defer it.Stop()
	next := func() {
		t.Helper()
		_, err := it.Next()
		require.NoError(t, err)
	}
	next()
	listeners := func() int64 { return f.Server.Report().Total.Reads.Listeners }
	require.EqualValues(t, 1, listeners(), "the first result")
	set("1", 1)
	next()
	require.EqualValues(t, 2, listeners(), "an added document")
	set("1", 0)
	next()
	require.EqualValues(t, 3, listeners(), "one that leaves because it has changed")
	_, err := c.Doc("a/0").Delete(ctx)
	require.NoError(t, err)
	next()
	require.EqualValues(t, 3, listeners(), "a deleted one is free")
	empty := c.Collection("none").Snapshots(ctx)
	defer empty.Stop()
	_, err = empty.Next()
	require.NoError(t, err)
	require.EqualValues(t, 4, listeners(), "a target without results")
}

func TestReportNamesDocumentsThatAreWrittenTooOften(t *testing.T) {
	t.Parallel()
	f, clock, logs := startStrict(t, "{}")
	write := func(id string, n int, interval time.Duration) {
		t.Helper()
		for i := range n {
			_, err := f.Client.Doc("a/"+id).Set(t.Context(), map[string]any{"n": i})
			require.NoError(t, err)
			clock.Advance(interval)
		}
	}
	write("slow", 30, time.Second)
	write("burst", 10, 0)
	clock.Advance(time.Minute)
	require.Empty(t, f.Server.Report().Documents)
	write("fast", 40, 500*time.Millisecond)
	documents := f.Server.Report().Documents
	require.Len(t, documents, 1)
	require.Equal(t, "a/fast", documents[0].Resource)
	require.InDelta(t, 2, documents[0].Peak, 0.2)
	require.Equal(t, 2, documents[0].Windows)
	require.Equal(t, documents, f.Server.Report().Exceeded())
	require.Len(t, logs.All(), 1)
}

// Writes whose values follow the clock go to the end of a range. A field before them, such as a shard, divides it.
func TestReportNamesRangesThatGrowTooFast(t *testing.T) {
	t.Parallel()
	const indexes = `{
	  "indexes": [{"collectionGroup": "a", "queryScope": "COLLECTION_GROUP", "fields": [
	    {"fieldPath": "shard", "order": "ASCENDING"}, {"fieldPath": "at", "order": "ASCENDING"}]}],
	  "fieldOverrides": [
	    {"collectionGroup": "a", "fieldPath": "at", "indexes": []},
	    {"collectionGroup": "b", "fieldPath": "at", "indexes": [{"order": "ASCENDING", "queryScope": "COLLECTION_GROUP"}]},
	    {"collectionGroup": "c", "fieldPath": "at", "indexes": []}
	  ]}`
	f, clock, logs := startStrict(t, indexes)
	const perSecond = 800
	w := f.Client.BulkWriter(t.Context())
	now := clock.Now()
	for i := range perSecond {
		// The names are random, and each document has a parent of its own.
		for _, collection := range []string{"a", "b", "c"} {
			doc := f.Client.Collection(fmt.Sprintf("x/%d/%s", i, collection)).NewDoc()
			_, err := w.Create(doc, map[string]any{"at": now.Add(time.Duration(i) * time.Millisecond), "shard": i % 2})
			require.NoError(t, err)
		}
	}
	w.End()
	exceeded := f.Server.Report().Exceeded()
	require.Len(t, exceeded, 1)
	require.Equal(t, "b (collection group): at", exceeded[0].Resource)
	require.EqualValues(t, perSecond, exceeded[0].Peak)
	require.Equal(t, 1, exceeded[0].Windows)
	byRange := map[string]float64{}
	for _, r := range f.Server.Report().Ranges {
		byRange[r.Resource] = r.Peak
	}
	require.EqualValues(t, perSecond/2, byRange["a (collection group): shard, at where shard = 0"])
	require.EqualValues(t, perSecond/2, byRange["a (collection group): shard, at where shard = 1"])
	require.Len(t, logs.All(), 1)
}

// Names and numbers that grow are the end of a range, too; others are not.
func TestReportNamesGrowingNames(t *testing.T) {
	t.Parallel()
	f, _, _ := startStrict(t, `{"fieldOverrides": [{"collectionGroup": "a", "fieldPath": "n", "indexes": []}]}`)
	w := f.Client.BulkWriter(t.Context())
	for i := range 1200 {
		_, err := w.Create(f.Client.Doc(fmt.Sprintf("a/%04d", i)), map[string]any{"n": i})
		require.NoError(t, err)
		_, err = w.Create(f.Client.Doc(fmt.Sprintf("b/%03d-%d", i*617%1000, i)), map[string]any{"n": 1})
		require.NoError(t, err)
	}
	w.End()
	for _, r := range f.Server.Report().Exceeded() {
		require.Equal(t, "a: __name__", r.Resource)
	}
}
