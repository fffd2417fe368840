package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/disk"
)

// synced writes n values after the first ones, each with its own sync.
func synced(t *testing.T, db *disk.DB, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		require.NoError(t, db.Set(key(i), value(i), pebble.Sync))
	}
}

func key(i int) []byte { return fmt.Appendf(nil, "%06d", i) }

// value returns bytes that do not compress, with zeros between them, as an interrupted write may leave.
func value(i int) []byte {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	v := make([]byte, 700)
	for j := range v[:100] {
		v[j] = byte(r.Uint32())
	}
	return v
}

func requireValues(t *testing.T, db *disk.DB, n int, context string) {
	t.Helper()
	for i := range n {
		v, closer, err := db.Get(key(i))
		require.NoError(t, err, "%s: value %d of %d", context, i, n)
		require.Equal(t, value(i), v)
		require.NoError(t, closer.Close())
	}
}

// copyFolder returns a copy of the files, as a kill of the process would leave them. The store must not be flushing or
// compacting, but may remove old files.
func copyFolder(t *testing.T, dir string) string {
	t.Helper()
	for {
		to := t.TempDir()
		err := os.CopyFS(to, os.DirFS(dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		return to
	}
}

const values = 400

// folders returns a folder whose process was killed, and one that was closed. Both have tables and a log.
func folders(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	o := options(dir, "letters", 3)
	o.Pebble = &pebble.Options{DisableAutomaticCompactions: true}
	db, err := disk.Open(o)
	require.NoError(t, err)
	for part := range 4 {
		synced(t, db, part*values/4, values/4)
		if part < 3 {
			require.NoError(t, db.Flush())
		}
	}
	killed := copyFolder(t, dir)
	require.NoError(t, db.Close())
	return map[string]string{"killed": killed, "closed": dir}
}

// TestFlippedByte flips single bytes in every file. The start is refused, unless nothing that was synced is missing.
func TestFlippedByte(t *testing.T) {
	for state, dir := range folders(t) {
		t.Run(state, func(t *testing.T) {
			db := open(t, copyFolder(t, dir))
			requireValues(t, db, values, "no damage")
			require.NoError(t, db.Close())

			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			refused := map[string]int{}
			for _, e := range entries {
				content, err := os.ReadFile(filepath.Join(dir, e.Name()))
				require.NoError(t, err)
				if len(content) == 0 {
					continue // its name is all that counts
				}
				positions := []int{0, len(content) / 2, len(content) - 1}
				for range 4 {
					positions = append(positions, rand.IntN(len(content)))
				}
				for _, at := range positions {
					bit := byte(1) << rand.IntN(8)
					damaged := copyFolder(t, dir)
					flipped := append([]byte(nil), content...)
					flipped[at] ^= bit
					require.NoError(t, os.WriteFile(filepath.Join(damaged, e.Name()), flipped, 0o600))
					what := fmt.Sprintf("%s: byte %d of %d xor %#x", e.Name(), at, len(content), bit)
					db, err := disk.Open(options(damaged, "letters", 3))
					if err != nil {
						require.ErrorAs(t, err, new(*disk.CorruptError), what)
						refused[filepath.Ext("x"+e.Name())]++
						continue
					}
					requireValues(t, db, values, what)
					require.NoError(t, db.Close())
				}
			}
			t.Logf("refused: %v", refused)
			require.NotZero(t, refused[".sst"])
			require.NotZero(t, refused[".log"])
		})
	}
}

// TestInterruptedWrite cuts the log anywhere in a write that was not synced, as a crash may do, and starts.
func TestInterruptedWrite(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	synced(t, db, 0, 20)
	before := copyFolder(t, dir)
	synced(t, db, 20, 1)
	after := copyFolder(t, dir)
	require.NoError(t, db.Close())
	logs, err := filepath.Glob(filepath.Join(before, "*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	name := filepath.Base(logs[0])
	short, err := os.ReadFile(filepath.Join(before, name))
	require.NoError(t, err)
	long, err := os.ReadFile(filepath.Join(after, name))
	require.NoError(t, err)
	require.Greater(t, len(long), len(short))

	cut := func(content []byte) (*disk.DB, error) {
		dir := copyFolder(t, before)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
		return disk.Open(options(dir, "letters", 3))
	}
	for n := len(short); n <= len(long); n += 1 + (len(long)-len(short))/16 {
		for _, tail := range [][]byte{nil, make([]byte, 4096)} { // the end of the file, or a sector that was not written
			db, err := cut(append(append([]byte(nil), long[:n]...), tail...))
			require.NoError(t, err, "cut at %d between %d and %d", n, len(short), len(long))
			requireValues(t, db, 20, "interrupted write")
			require.NoError(t, db.Close())
		}
	}
	_, err = cut(short[:len(short)-1])
	require.ErrorAs(t, err, new(*disk.CorruptError), "a part that was synced is missing")
}

// TestReusedLogs copies a folder often during writes through many logs, which Pebble uses again.
func TestReusedLogs(t *testing.T) {
	dir := t.TempDir()
	o := options(dir, "letters", 3)
	o.Pebble = &pebble.Options{MemTableSize: 64 << 10, DisableAutomaticCompactions: true}
	db, err := disk.Open(o)
	require.NoError(t, err)
	n := 0
	for range 12 {
		synced(t, db, n, 60)
		require.NoError(t, db.Flush())
		synced(t, db, n+60, 5)
		n += 65
		copied := open(t, copyFolder(t, dir))
		requireValues(t, copied, n, "copy")
		require.NoError(t, copied.Close())
	}
	require.NoError(t, db.Close())
}

// A crash of the machine may leave the record of an earlier sync, none, or one of zeros.
func TestOldSyncedRecord(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	synced(t, db, 0, 5)
	early := copyFolder(t, dir)
	synced(t, db, 5, 5)
	late := copyFolder(t, dir)
	require.NoError(t, db.Close())
	old, err := os.ReadFile(filepath.Join(early, "synced"))
	require.NoError(t, err)
	for name, record := range map[string][]byte{"earlier": old, "none": nil, "zeros": make([]byte, len(old))} {
		dir := copyFolder(t, late)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "synced"), record, 0o600))
		db, err := disk.Open(options(dir, "letters", 3))
		require.NoError(t, err, name)
		requireValues(t, db, 10, name)
		require.NoError(t, db.Close())
	}
}

// TestUpgrade opens a folder in the oldest format of Pebble, which the emulators wrote before.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	old, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatMinSupported})
	require.NoError(t, err)
	require.NoError(t, old.Set([]byte("\x00disk.stamp"), []byte("\x03letters"), pebble.Sync))
	for i := range values {
		require.NoError(t, old.Set(key(i), value(i), pebble.Sync))
		if i == values/2 {
			require.NoError(t, old.Flush())
		}
	}
	require.Equal(t, pebble.FormatMinSupported, old.FormatMajorVersion())
	require.NoError(t, old.Close())

	_, err = disk.Open(options(dir, "numbers", 3))
	require.ErrorAs(t, err, new(*disk.KindError))
	found, err := pebble.Peek(dir, vfs.Default)
	require.NoError(t, err)
	require.Equal(t, pebble.FormatMinSupported, found.FormatMajorVersion, "a folder that is refused keeps its format")

	for range 2 {
		db := open(t, dir)
		require.Equal(t, pebble.FormatNewest, db.FormatMajorVersion())
		requireValues(t, db, values, "upgrade")
		require.NoError(t, db.Close())
	}
}

func TestNewFolderHasNewestFormat(t *testing.T) {
	o := options(t.TempDir(), "letters", 3)
	o.Pebble = &pebble.Options{}
	o.Pebble.EnsureDefaults()
	db, err := disk.Open(o)
	require.NoError(t, err)
	require.Equal(t, pebble.FormatNewest, db.FormatMajorVersion(), "also if the options have Pebble's defaults")
	require.NoError(t, db.Close())
}
