package firestore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	client "cloud.google.com/go/firestore"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/type/latlng"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/firestore"
)

func TestValuesRoundTrip(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	at := time.Date(2030, 1, 2, 3, 4, 5, 123456000, time.UTC)
	want := map[string]any{
		"null": nil, "bool": true, "int": int64(math.MinInt64), "double": 1.0, "inf": math.Inf(-1), "time": at,
		"string": "é\x00", "bytes": []byte{0, 255}, "ref": c.Doc("c/other"), "geo": &latlng.LatLng{Latitude: -90, Longitude: 180},
		"array": []any{int64(1), map[string]any{"in": []any{"deep"}}}, "map": map[string]any{"": nil}["none"], "empty": map[string]any{},
		"odd name.`\\": "x", "vector": client.Vector64{1, 2},
	}
	doc := c.Doc("c/d")
	_, err := doc.Set(t.Context(), want)
	require.NoError(t, err)
	snap, err := doc.Get(t.Context())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, snap.Data(), cmp.Comparer(func(a, b *client.DocumentRef) bool { return a.Path == b.Path }), cmp.Comparer(func(a, b *latlng.LatLng) bool { return a.String() == b.String() })))

	_, err = doc.Set(t.Context(), map[string]any{"nan": math.NaN(), "fine": at.Add(999)})
	require.NoError(t, err)
	snap, err = doc.Get(t.Context())
	require.NoError(t, err)
	require.True(t, math.IsNaN(snap.Data()["nan"].(float64)))
	require.Equal(t, at, snap.Data()["fine"], "times are truncated to microseconds")
}

func TestPreconditions(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	there, missing := c.Doc("c/there"), c.Doc("c/missing")
	reset := func(t *testing.T) time.Time {
		_, err := missing.Delete(t.Context())
		require.NoError(t, err)
		w, err := there.Set(t.Context(), map[string]any{"n": time.Now().String()})
		require.NoError(t, err)
		return w.UpdateTime
	}
	set := []client.Update{{Path: "n", Value: 1}}
	for _, tt := range []struct {
		name string
		do   func(ctx context.Context, now time.Time) (*client.WriteResult, error)
		want codes.Code
	}{
		{"create existing", func(ctx context.Context, _ time.Time) (*client.WriteResult, error) {
			return there.Create(ctx, map[string]any{})
		}, codes.AlreadyExists},
		{"update missing", func(ctx context.Context, _ time.Time) (*client.WriteResult, error) { return missing.Update(ctx, set) }, codes.NotFound},
		{"update existing", func(ctx context.Context, _ time.Time) (*client.WriteResult, error) { return there.Update(ctx, set) }, codes.OK},
		{"set missing", func(ctx context.Context, _ time.Time) (*client.WriteResult, error) {
			return missing.Set(ctx, map[string]any{})
		}, codes.OK},
		{"delete missing", func(ctx context.Context, _ time.Time) (*client.WriteResult, error) { return missing.Delete(ctx) }, codes.OK},
		{"delete missing with exists", func(ctx context.Context, _ time.Time) (*client.WriteResult, error) {
			return missing.Delete(ctx, client.Exists)
		}, codes.NotFound},
		{"update of the current version", func(ctx context.Context, now time.Time) (*client.WriteResult, error) {
			return there.Update(ctx, set, client.LastUpdateTime(now))
		}, codes.OK},
		{"update of another version", func(ctx context.Context, now time.Time) (*client.WriteResult, error) {
			return there.Update(ctx, set, client.LastUpdateTime(now.Add(-time.Microsecond)))
		}, codes.FailedPrecondition},
		{"delete of another version", func(ctx context.Context, now time.Time) (*client.WriteResult, error) {
			return there.Delete(ctx, client.LastUpdateTime(now.Add(time.Microsecond)))
		}, codes.FailedPrecondition},
		{"delete missing with a version", func(ctx context.Context, now time.Time) (*client.WriteResult, error) {
			return missing.Delete(ctx, client.LastUpdateTime(now))
		}, codes.FailedPrecondition},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.do(t.Context(), reset(t))
			require.Equal(t, tt.want, status.Code(err), "%v", err)
		})
	}
}

func TestUpdates(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	before := map[string]any{"a": int64(1), "m": map[string]any{"x": int64(1), "y": int64(2)}, "list": []any{int64(1), 2.0, "x"}, "f": 1.5, "s": "text"}
	for _, tt := range []struct {
		name   string
		update []client.Update
		want   map[string]any // only the changed fields; nil for a deleted field
	}{
		{"field", []client.Update{{Path: "a", Value: 2}}, map[string]any{"a": int64(2)}},
		{"nested field", []client.Update{{Path: "m.x", Value: 9}}, map[string]any{"m": map[string]any{"x": int64(9), "y": int64(2)}}},
		{"delete nested", []client.Update{{Path: "m.x", Value: client.Delete}}, map[string]any{"m": map[string]any{"y": int64(2)}}},
		{"map replaces value", []client.Update{{Path: "a.b.c", Value: 1}}, map[string]any{"a": map[string]any{"b": map[string]any{"c": int64(1)}}}},
		{"quoted name", []client.Update{{FieldPath: []string{"odd.name", "`"}, Value: 1}}, map[string]any{"odd.name": map[string]any{"`": int64(1)}}},
		{"delete", []client.Update{{Path: "a", Value: client.Delete}}, map[string]any{"a": nil}},
		{"increment", []client.Update{{Path: "a", Value: client.Increment(2)}}, map[string]any{"a": int64(3)}},
		{"increment by a double", []client.Update{{Path: "a", Value: client.Increment(0.5)}}, map[string]any{"a": 1.5}},
		{"increment a double", []client.Update{{Path: "f", Value: client.Increment(1)}}, map[string]any{"f": 2.5}},
		{"increment text", []client.Update{{Path: "s", Value: client.Increment(1)}}, map[string]any{"s": int64(1)}},
		{"increment missing field", []client.Update{{Path: "m.z", Value: client.Increment(1)}}, map[string]any{"m": map[string]any{"x": int64(1), "y": int64(2), "z": int64(1)}}},
		{"increment saturates", []client.Update{{Path: "a", Value: client.Increment(int64(math.MaxInt64))}}, map[string]any{"a": int64(math.MaxInt64)}},
		{"maximum", []client.Update{{Path: "a", Value: client.FieldTransformMaximum(2.5)}}, map[string]any{"a": 2.5}},
		{"maximum of equals", []client.Update{{Path: "a", Value: client.FieldTransformMaximum(1.0)}}, map[string]any{"a": int64(1)}},
		{"minimum", []client.Update{{Path: "f", Value: client.FieldTransformMinimum(1)}}, map[string]any{"f": int64(1)}},
		{"union", []client.Update{{Path: "list", Value: client.ArrayUnion(2, "y", "y", 1.0)}}, map[string]any{"list": []any{int64(1), 2.0, "x", "y"}}},
		{"remove", []client.Update{{Path: "list", Value: client.ArrayRemove(1.0, "x")}}, map[string]any{"list": []any{2.0}}},
		{"union with no array", []client.Update{{Path: "s", Value: client.ArrayUnion(1)}}, map[string]any{"s": []any{int64(1)}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := c.Doc("c/d")
			_, err := doc.Set(t.Context(), before)
			require.NoError(t, err)
			_, err = doc.Update(t.Context(), tt.update)
			require.NoError(t, err)
			want := map[string]any{}
			for k, v := range before {
				want[k] = v
			}
			for k, v := range tt.want {
				want[k] = v
				if v == nil {
					delete(want, k)
				}
			}
			snap, err := doc.Get(t.Context())
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(want, snap.Data()))
		})
	}
}

func TestServerTimestampIsTheCommitTime(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	w, err := c.Doc("c/d").Set(t.Context(), map[string]any{"at": client.ServerTimestamp, "m": map[string]any{"at": client.ServerTimestamp}})
	require.NoError(t, err)
	snap, err := c.Doc("c/d").Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, w.UpdateTime, snap.Data()["at"])
	require.Equal(t, w.UpdateTime, snap.CreateTime)
	require.Equal(t, map[string]any{"at": w.UpdateTime}, snap.Data()["m"])
}

func TestNoOpWriteKeepsUpdateTime(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	first, err := c.Doc("c/d").Set(t.Context(), map[string]any{"n": 1})
	require.NoError(t, err)
	again, err := c.Doc("c/d").Set(t.Context(), map[string]any{"n": 1})
	require.NoError(t, err)
	require.Equal(t, first.UpdateTime, again.UpdateTime)
	other, err := c.Doc("c/d").Set(t.Context(), map[string]any{"n": 1.0})
	require.NoError(t, err)
	require.True(t, other.UpdateTime.After(first.UpdateTime), "1.0 and 1 are different values")
}

func TestCommitIsAtomic(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	err := commitWrites(t.Context(), c, func(tx *client.Transaction) error {
		return errors.Join(
			tx.Set(c.Doc("c/a"), map[string]any{"n": 1}),
			tx.Update(c.Doc("c/none"), []client.Update{{Path: "n", Value: 1}}))
	})
	require.Equal(t, codes.NotFound, status.Code(err))
	_, err = c.Doc("c/a").Get(t.Context())
	require.Equal(t, codes.NotFound, status.Code(err))

	err = commitWrites(t.Context(), c, func(tx *client.Transaction) error {
		return errors.Join(
			tx.Create(c.Doc("c/a"), map[string]any{"n": 1}),
			tx.Update(c.Doc("c/a"), []client.Update{{Path: "n", Value: client.Increment(1)}}))
	})
	require.NoError(t, err)
	snap, err := c.Doc("c/a").Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]any{"n": int64(2)}, snap.Data(), "a later write of a commit sees an earlier one")
}

func TestBatchWritesAreIndependent(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	_, err := c.Doc("c/1").Set(t.Context(), map[string]any{})
	require.NoError(t, err)
	bulk := c.BulkWriter(t.Context())
	var jobs []*client.BulkWriterJob
	for i := range 3 {
		job, err := bulk.Create(c.Doc(fmt.Sprintf("c/%d", i)), map[string]any{"n": i})
		require.NoError(t, err)
		jobs = append(jobs, job)
	}
	bulk.End()
	for i, want := range []codes.Code{codes.OK, codes.AlreadyExists, codes.OK} {
		_, err := jobs[i].Results()
		require.Equal(t, want, status.Code(err), "write %d", i)
	}
}

func TestReadTimes(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	w, err := c.Doc("c/d").Set(t.Context(), map[string]any{"n": 1})
	require.NoError(t, err)
	docs, err := c.GetAll(t.Context(), []*client.DocumentRef{c.Doc("c/none"), c.Doc("c/d")})
	require.NoError(t, err)
	require.False(t, docs[0].Exists())
	require.True(t, docs[1].Exists())
	for _, d := range docs {
		require.False(t, d.ReadTime.Before(w.UpdateTime), "a missing document has a read time too")
	}
	_, err = c.Doc("c/d").Delete(t.Context())
	require.NoError(t, err)
	snap, err := c.Doc("c/d").Get(t.Context())
	require.Equal(t, codes.NotFound, status.Code(err))
	require.True(t, snap.ReadTime.After(docs[1].ReadTime))

	old, err := c.Doc("c/d").WithReadOptions(client.ReadTime(docs[1].ReadTime)).Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]any{"n": int64(1)}, old.Data(), "old versions can be read")
	require.Equal(t, docs[1].ReadTime, old.ReadTime)
	_, err = c.Doc("c/d").WithReadOptions(client.ReadTime(time.Now().Add(time.Hour))).Get(t.Context())
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestDatabasesAreIsolated(t *testing.T) {
	e := start(t, firestore.Options{})
	a, b := e.dial(t, "a"), e.dial(t, "b")
	_, err := a.Doc("c/d").Create(t.Context(), map[string]any{"of": "a"})
	require.NoError(t, err)
	_, err = b.Doc("c/d").Get(t.Context())
	require.Equal(t, codes.NotFound, status.Code(err))
	_, err = b.Doc("c/d").Create(t.Context(), map[string]any{"of": "b"})
	require.NoError(t, err)
	all, err := a.CollectionGroup("c").Documents(t.Context()).GetAll()
	require.NoError(t, err)
	require.Len(t, all, 1)
}
