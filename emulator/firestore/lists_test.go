package firestore_test

import (
	"errors"
	"strings"
	"testing"

	client "cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/iterator"

	"github.com/airlock-run/airlock/emulator/firestore"
)

func TestListDocumentsAndCollections(t *testing.T) {
	e := start(t, firestore.Options{})
	c := e.dial(t, "p")
	for _, p := range []string{"c/a", "c/b", "c/missing/sub/x", "c/a/sub/y", "other/z", "c/a/more/deep/er/one"} {
		_, err := c.Doc(p).Set(t.Context(), map[string]any{"at": p})
		require.NoError(t, err)
	}
	collections := func(it *client.CollectionIterator) (ids []string) {
		all, err := it.GetAll()
		require.NoError(t, err)
		for _, r := range all {
			ids = append(ids, r.ID)
		}
		return ids
	}
	require.Equal(t, []string{"c", "other"}, collections(c.Collections(t.Context())))
	require.Equal(t, []string{"more", "sub"}, collections(c.Doc("c/a").Collections(t.Context())))
	require.Equal(t, []string{"sub"}, collections(c.Doc("c/missing").Collections(t.Context())))

	var refs []string
	it := c.Collection("c").DocumentRefs(t.Context())
	it.PageInfo().MaxSize = 2
	for {
		r, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		require.NoError(t, err)
		refs = append(refs, r.ID)
	}
	require.Equal(t, []string{"a", "b", "missing"}, refs, "a missing document with documents below it is listed")

	raw := e.raw(t)
	var listed []string
	r := &pb.ListDocumentsRequest{Parent: root, CollectionId: "c", PageSize: 1, OrderBy: "at desc"}
	for {
		page, err := raw.ListDocuments(t.Context(), r)
		require.NoError(t, err)
		for _, d := range page.GetDocuments() {
			listed = append(listed, strings.TrimPrefix(d.GetName(), root))
		}
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			break
		}
	}
	require.Equal(t, []string{"/c/b", "/c/a"}, listed)

	for missing, want := range map[bool][]string{false: {"/c/a", "/c/b", "/other/z"}, true: {"/c/a", "/c/b", "/c/missing", "/other/z"}} {
		listed = nil
		page, err := raw.ListDocuments(t.Context(), &pb.ListDocumentsRequest{Parent: root, ShowMissing: missing})
		require.NoError(t, err)
		for _, d := range page.GetDocuments() {
			listed = append(listed, strings.TrimPrefix(d.GetName(), root))
		}
		require.Equal(t, want, listed, "all collections of the root")
	}
}
