package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
	"github.com/airlock-run/airlock/emulator/internal/firestore/write"
	"github.com/airlock-run/airlock/emulator/internal/smalldisk"
)

// A commit that finds no space takes place later. Until then, snapshots do not contain it and nobody waits for it.
func TestCommitThatWaitsForSpace(t *testing.T) {
	small := smalldisk.Mount(t, "64m")
	db, err := disk.Open(disk.Options{Dir: filepath.Join(small.Dir, "data"), Kind: "test", Version: 1, Pebble: &pebble.Options{MemTableSize: 256 << 10}})
	require.NoError(t, err)
	events := make(chan store.Event, 10)
	s, err := store.Open(db, store.Options{OnCommit: func(e store.Event) { events <- e }})
	require.NoError(t, err)
	before, after := name.Path{"c", "before"}, name.Path{"c", "0"}
	require.NoError(t, commit(t, s, set(before, map[string]*pb.Value{"n": value.Int(1)})).Wait(t.Context()))
	first := <-events

	writes := []write.Write{}
	for i := range 400 {
		w, err := write.Parse(database, set(name.Path{"c", fmt.Sprint(i)}, map[string]*pb.Value{"text": text(strings.Repeat("x", 20_000))}))
		require.NoError(t, err)
		writes = append(writes, w)
	}
	pending, err := s.CommitAsync(database, writes, func(*store.View) error {
		small.Fill() // after the space was checked
		return nil
	})
	if err == nil {
		err = pending.Wait(t.Context())
	}
	require.ErrorAs(t, err, new(*disk.FullError))

	sn, err := s.Snapshot(database)
	require.NoError(t, err)
	require.Equal(t, first.Time, sn.Time)
	require.NoError(t, sn.WaitDurable(t.Context()))
	d, err := sn.Get(database, after)
	require.NoError(t, err)
	require.Nil(t, d)
	var found []*document.Document
	for d, err := range sn.RunQuery(&query.Query{Database: database, Collection: "c", Order: []query.Order{{Path: field.Path{field.DocumentID}}}}) {
		require.NoError(t, err)
		found = append(found, d)
	}
	require.Len(t, found, 1)
	require.NoError(t, sn.Close())
	_, err = s.CommitAsync(database, writes, nil)
	require.ErrorAs(t, err, new(*disk.FullError))
	require.NoError(t, s.EnsureIndexes(numberQuery(1)), "a query needs no index that cannot be built")

	small.Free()
	require.Len(t, (<-events).Changes, len(writes))
	sn, err = s.Snapshot(database)
	require.NoError(t, err)
	d, err = sn.Get(database, after)
	require.NoError(t, err)
	require.NotNil(t, d)
	require.NoError(t, sn.Close())
	require.NoError(t, s.Close())
}

// A commit whose check panics ends with that panic, and the next one takes place.
func TestPanicInCommit(t *testing.T) {
	for where, dir := range map[string]string{"memory": "", "disk": t.TempDir()} {
		db, err := disk.Open(disk.Options{Dir: dir, Kind: "test", Version: 1})
		require.NoError(t, err)
		s, err := store.Open(db, store.Options{})
		require.NoError(t, err)
		p := name.Path{"c", "d"}
		w, err := write.Parse(database, set(p, map[string]*pb.Value{"n": value.Int(1)}))
		require.NoError(t, err)
		require.Panics(t, func() {
			_, _ = s.CommitAsync(database, []write.Write{w, {}}, nil) // a write without an operation, which write.Parse never returns
		}, where)
		require.Panics(t, func() {
			_, _ = s.CommitAsync(database, []write.Write{w}, func(*store.View) error { panic("broken") })
		}, where)
		done := commit(t, s, set(p, map[string]*pb.Value{"n": value.Int(2)}))
		require.NoError(t, done.Wait(t.Context()))
		sn, err := s.Snapshot(database)
		require.NoError(t, err)
		require.GreaterOrEqual(t, sn.Time, done.Time, "the time of the failed commit was given up")
		require.NoError(t, sn.Close())
		require.NoError(t, s.Close())
	}
}
