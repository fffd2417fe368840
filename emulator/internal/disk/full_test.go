package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/smalldisk"
)

// The log says once that the disk is full, and once that it has space again.
func TestFullDiskIsLogged(t *testing.T) {
	small := smalldisk.Mount(t, "40m")
	core, logged := observer.New(zapcore.InfoLevel)
	o := options(filepath.Join(small.Dir, "data"), "letters", 3)
	o.Logger = zap.New(core)
	db, err := disk.Open(o)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, db.CheckSpace())
		require.Empty(t, logged.TakeAll())
		small.Fill()
		for range 3 {
			require.Error(t, db.CheckSpace())
		}
		lines := logged.TakeAll()
		require.Len(t, lines, 1)
		require.Equal(t, "writes are refused", lines[0].Message)
		require.ErrorContains(t, lines[0].Context[0].Interface.(error), "free some space")
		small.Free()
		for range 3 {
			require.NoError(t, db.CheckSpace())
		}
		require.Equal(t, 1, logged.FilterMessage("the disk has space again: writes are accepted").Len())
		logged.TakeAll()
	}
	require.NoError(t, db.Close())
}

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
		full, last, ended := db.Full(), make(chan int, 1), make(chan error, 3)
		go func() {
			next, err := writeUntil(full, db, n)
			last <- next
			ended <- err
		}()
		go func() { ended <- db.Flush() }()
		go func() { ended <- db.Compact(t.Context(), key(0), key(n), false) }()
		<-full
		requireValues(t, db, n, "reads are served")
		small.Free()
		for range cap(ended) {
			require.NoError(t, <-ended, "they go on when there is space")
		}
		n = <-last
		// Work of Pebble in the background may wait a moment longer.
		require.Eventually(t, func() bool { return db.CheckSpace() == nil }, time.Minute, 10*time.Millisecond)
	}
	require.NoError(t, db.Close())
	db = open(t, dir)
	requireValues(t, db, n, "after a restart")
	require.NoError(t, db.Close())
}

// writeUntil writes values until full is closed, and returns the number of the next one. It writes more than any file
// that Pebble removes in the background, so the disk does get full.
func writeUntil(full <-chan struct{}, db *disk.DB, first int) (next int, err error) {
	for i := first; ; i++ {
		if err := writeValues(db, i, 1); err != nil {
			return i, err
		}
		select {
		case <-full:
			return i + 1, nil
		default:
		}
	}
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
