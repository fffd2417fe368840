package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/smalldisk"
)

// TestFullDisk fills the disk under every kind of write of Pebble: the log, a new log, a flush, a compaction, and the
// MANIFEST.
func TestFullDisk(t *testing.T) {
	small := smalldisk.Mount(t, "40m")
	dir := filepath.Join(small.Dir, "data")
	o := options(dir, "letters", 3)
	o.Pebble = &pebble.Options{MemTableSize: 256 << 10, MaxManifestFileSize: 1}
	db, err := disk.Open(o)
	require.NoError(t, err)
	n := 0
	for range 3 {
		synced(t, db, n, 300)
		n += 300
		small.Fill()
		require.ErrorAs(t, db.CheckSpace(), new(*disk.FullError))
		require.ErrorAs(t, db.Write(func() error { return errors.New("called") }), new(*disk.FullError), "refused at once")

		// These find no space, as if it had been used up after the check.
		ended := make(chan error, 3)
		go func() { ended <- writeValues(db, n, 1000) }()
		go func() { ended <- db.Flush() }()
		go func() { ended <- db.Compact(t.Context(), key(0), key(n), false) }()
		<-db.Full()
		requireValues(t, db, n, "reads are served")
		small.Free()
		for range cap(ended) {
			require.NoError(t, <-ended, "they go on when there is space")
		}
		require.NoError(t, db.CheckSpace())
		n += 1000
	}
	require.NoError(t, db.Close())
	db = open(t, dir)
	requireValues(t, db, n, "after a restart")
	require.NoError(t, db.Close())
}

func writeValues(db *disk.DB, first, n int) error {
	for i := first; i < first+n; i++ {
		if err := db.Set(key(i), value(i), pebble.Sync); err != nil {
			return err
		}
	}
	return nil
}

// Write does not wait for a write that finds no space, although that one is done later.
func TestWriteDoesNotWaitForSpace(t *testing.T) {
	small := smalldisk.Mount(t, "40m")
	o := options(filepath.Join(small.Dir, "data"), "letters", 3)
	o.Pebble = &pebble.Options{MemTableSize: 256 << 10}
	db, err := disk.Open(o)
	require.NoError(t, err)
	ended := make(chan error, 1)
	err = db.Write(func() error {
		small.Fill()
		err := writeValues(db, 0, 1000)
		ended <- err
		return err
	})
	full, ok := errors.AsType[*disk.FullError](err)
	require.True(t, ok, "%v", err)
	require.True(t, full.Waiting)
	small.Free()
	require.NoError(t, <-ended)
	requireValues(t, db, 1000, "done later")
	require.NoError(t, db.Close())
}

func TestPanicInWrite(t *testing.T) {
	db := open(t, t.TempDir())
	func() {
		defer func() { require.Contains(t, recover(), "broken") }()
		_ = db.Write(func() error { panic("broken") })
	}()
	require.NoError(t, db.Write(func() error { return db.Set(key(0), value(0), pebble.Sync) }), "the store works")
	require.NoError(t, db.Close())
}

func TestStartOnFullDisk(t *testing.T) {
	small := smalldisk.Mount(t, "40m")
	dir := filepath.Join(small.Dir, "data")
	start := func() (*disk.DB, error) { return disk.Open(options(dir, "letters", 3)) }
	refused := func(why string) {
		t.Helper()
		_, err := start()
		require.ErrorAs(t, err, new(*disk.FullError), why)
		require.ErrorContains(t, err, "free some space", why)
	}
	small.Fill()
	refused("no folder yet")
	small.Free()
	db, err := start()
	require.NoError(t, err)
	synced(t, db, 0, 100)
	killed := copyFolder(t, dir)
	require.NoError(t, db.Close())
	small.Fill()
	refused("a folder that was closed")
	small.Free()
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.CopyFS(dir, os.DirFS(killed)))
	small.Fill()
	refused("a folder whose process was killed")
	small.Free()
	db, err = start()
	require.NoError(t, err)
	requireValues(t, db, 100, "after the refusals")
	require.NoError(t, db.Close())
}
