package firestore_test

import (
	"errors"
	"fmt"
	"testing"

	client "cloud.google.com/go/firestore"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/firestore"
)

// changes returns the changes of the next snapshot.
func changes(t *testing.T, it *client.QuerySnapshotIterator) []string {
	t.Helper()
	snap, err := it.Next()
	require.NoError(t, err)
	require.False(t, snap.ReadTime.IsZero())
	var out []string
	for _, c := range snap.Changes {
		kind := map[client.DocumentChangeKind]string{client.DocumentAdded: "+", client.DocumentModified: "~", client.DocumentRemoved: "-"}[c.Kind]
		out = append(out, fmt.Sprintf("%s%s:%v", kind, c.Doc.Ref.ID, c.Doc.Data()["n"]))
	}
	return out
}

func TestListenToDocument(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	doc := c.Doc("c/one")
	it := doc.Snapshots(t.Context())
	defer it.Stop()

	snap, err := it.Next()
	require.NoError(t, err)
	require.False(t, snap.Exists(), "a missing document has a first snapshot too")
	for i := range 3 {
		w, err := doc.Set(t.Context(), map[string]any{"n": i})
		require.NoError(t, err)
		snap, err := it.Next()
		require.NoError(t, err)
		require.Equal(t, map[string]any{"n": int64(i)}, snap.Data())
		require.True(t, snap.UpdateTime.Equal(w.UpdateTime))
		require.False(t, snap.ReadTime.Before(w.UpdateTime))
	}
	_, err = doc.Delete(t.Context())
	require.NoError(t, err)
	snap, err = it.Next()
	require.NoError(t, err)
	require.False(t, snap.Exists())
}

func TestListenToQuery(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	set := func(id string, n int) {
		_, err := c.Doc("c/"+id).Set(t.Context(), map[string]any{"n": n})
		require.NoError(t, err)
	}
	set("a", 1)
	set("b", 5)
	it := c.Collection("c").Where("n", ">", 2).OrderBy("n", client.Asc).Snapshots(t.Context())
	defer it.Stop()
	require.Empty(t, cmp.Diff([]string{"+b:5"}, changes(t, it)))
	set("c", 4)
	require.Empty(t, cmp.Diff([]string{"+c:4"}, changes(t, it)))
	set("b", 3)
	require.Empty(t, cmp.Diff([]string{"~b:3"}, changes(t, it)))
	set("a", 2) // does not match: no change
	set("c", 0)
	require.Empty(t, cmp.Diff([]string{"-c:4"}, changes(t, it)))
	_, err := c.Doc("c/b").Delete(t.Context())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]string{"-b:3"}, changes(t, it)))
}

func TestListenToLimitedQuery(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	for i, id := range []string{"a", "b", "c", "d"} {
		_, err := c.Doc("c/"+id).Set(t.Context(), map[string]any{"n": i})
		require.NoError(t, err)
	}
	it := c.Collection("c").OrderBy("n", client.Asc).Limit(2).Snapshots(t.Context())
	defer it.Stop()
	require.Empty(t, cmp.Diff([]string{"+a:0", "+b:1"}, changes(t, it)))
	_, err := c.Doc("c/a").Delete(t.Context())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]string{"-a:0", "+c:2"}, changes(t, it)), "the next document moves up to the limit")
	_, err = c.Doc("c/e").Set(t.Context(), map[string]any{"n": -1})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]string{"-c:2", "+e:-1"}, changes(t, it)))
}

func TestListenDeliversCommitAtomically(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	it := c.CollectionGroup("c").Snapshots(t.Context())
	defer it.Stop()
	require.Empty(t, changes(t, it))
	require.NoError(t, commitWrites(t.Context(), c, func(tx *client.Transaction) (err error) {
		for i := range 20 {
			err = errors.Join(err, tx.Set(c.Doc(fmt.Sprintf("p/%d/c/x%02d", i%3, i)), map[string]any{"n": i}))
		}
		return err
	}))
	require.Len(t, changes(t, it), 20)
}

func TestListenInvalidQuery(t *testing.T) {
	c := start(t, firestore.Options{}).dial(t, "p")
	it := c.Collection("c").Where("a", "array-contains", 1).Where("b", "array-contains", 2).Snapshots(t.Context())
	defer it.Stop()
	_, err := it.Next()
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestCloseEndsListeners(t *testing.T) {
	e := start(t, firestore.Options{})
	c := e.dial(t, "p")
	it := c.Collection("c").Snapshots(t.Context())
	_, err := it.Next()
	require.NoError(t, err)
	e.Close()
	it.Stop()
	_, err = it.Next()
	require.ErrorIs(t, err, iterator.Done)
}
