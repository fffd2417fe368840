package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

var testDatabase = name.Database{Project: "p", ID: "d"}

func TestKeysRoundTrip(t *testing.T) {
	p := name.Path{"c", "a\x00b", "c", "__id7__"}
	got, err := pathOf(documentsPrefix(testDatabase, "c"), documentKey(testDatabase, p))
	require.NoError(t, err)
	require.Equal(t, p, got)

	entry, offset := indexEntryKey([]byte("values"), p)
	got, err = indexedPath(entry, offset)
	require.NoError(t, err)
	require.Equal(t, p, got)
}

// FuzzStored checks that damaged keys and values are refused and cause no panic.
func FuzzStored(f *testing.F) {
	p := name.Path{"c", "d"}
	entry, offset := indexEntryKey([]byte("values"), p)
	f.Add(entry, offset)
	d := &document.Document{Path: p}
	record, err := d.Encode()
	require.NoError(f, err)
	f.Add(name.AppendKey(name.AppendString([]byte("12345678"), "c"), p), record)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if p, err := indexedPath(key, value); err == nil {
			require.True(t, p.IsDocument())
		} else {
			require.ErrorIs(t, err, errMalformedKey)
		}
		step, err := parseHistory(0, key, value)
		if err == nil {
			require.True(t, step.path.IsDocument())
		}
	})
}
