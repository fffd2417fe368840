package name_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

func TestParse(t *testing.T) {
	const root = "projects/p/databases/(default)/documents"
	for _, tt := range []struct {
		in       string
		path     name.Path
		document bool
		parent   bool
	}{
		{root + "/c/d", name.Path{"c", "d"}, true, true},
		{root + "/c/d/e/f", name.Path{"c", "d", "e", "f"}, true, true},
		{root + "/c", name.Path{"c"}, false, true},
		{root, nil, false, true},
		{root + "/", nil, false, false},
		{root + "/c//e/f", nil, false, false},
		{root + "/c/..", nil, false, false},
		{root + "/c/__x__", nil, false, false},
		{root + "/c/__", name.Path{"c", "__"}, true, true},
		{root + "/c/\xff", nil, false, false},
		{root + "/c/__id7__", name.Path{"c", "__id7__"}, true, true},
		{root + strings.Repeat("/c/d", 101), nil, false, false},
		{"projects/p/databases/d", nil, false, false},
		{"projects//databases/d/documents/c/d", nil, false, false},
		{"", nil, false, false},
	} {
		db, p, err := name.ParseParent(tt.in)
		require.Equal(t, tt.parent, err == nil, "%s: %v", tt.in, err)
		if tt.parent {
			require.Equal(t, tt.path, p)
			require.Equal(t, tt.in, p.ResourceName(db))
		} else {
			require.Equal(t, codes.InvalidArgument, status.Code(err))
		}
		_, _, err = name.ParseDocument(tt.in)
		require.Equal(t, tt.document, err == nil, "%s: %v", tt.in, err)
	}
}

var genPath = rapid.Custom(func(t *rapid.T) name.Path {
	id := rapid.OneOf(rapid.StringMatching("[^/]{1,5}"), rapid.SampledFrom([]string{"__id1__", "__id-1__", "__id01__", "\x00", "a\x00b", "a"}))
	return rapid.SliceOfN(id, 0, 5).Draw(t, "path")
})

func TestKeyOrderMatchesPathOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genPath.Draw(t, "a"), genPath.Draw(t, "b")
		ka, kb := name.AppendKey(nil, a), name.AppendKey(nil, b)
		require.Equal(t, name.Compare(a, b), bytes.Compare(ka, kb))
		require.Equal(t, a.HasPrefix(b), bytes.HasPrefix(ka, kb), "a key is a prefix exactly if its path is one")
	})
}

// FuzzParseKey checks that every path that decodes can be encoded and decoded again, and that no bytes cause a panic.
func FuzzParseKey(f *testing.F) {
	f.Add(name.AppendKey(nil, name.Path{"c", "__id7__", "a\x00b"}))
	f.Add([]byte{2, 'a', 0})
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := name.ParseKey(b)
		if err != nil {
			require.ErrorIs(t, err, name.ErrMalformedKey)
			return
		}
		back, err := name.ParseKey(name.AppendKey(nil, p))
		require.NoError(t, err)
		require.Equal(t, p, back)
	})
}
