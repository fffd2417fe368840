package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/disk"
)

func options(dir, kind string, version int) disk.Options {
	return disk.Options{Dir: dir, Kind: kind, Version: version}
}

func open(t *testing.T, dir string) *disk.DB {
	t.Helper()
	db, err := disk.Open(options(dir, "letters", 3))
	require.NoError(t, err)
	return db
}

func TestReopenKeepsData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "several", "missing", "folders")
	db := open(t, dir)
	require.NoError(t, db.Set([]byte("a"), []byte("1"), pebble.Sync))
	require.NoError(t, db.Close())

	db = open(t, dir)
	defer db.Close()
	value, closer, err := db.Get([]byte("a"))
	require.NoError(t, err)
	require.Equal(t, "1", string(value))
	require.NoError(t, closer.Close())
}

func TestInMemoryStoresAreIsolated(t *testing.T) {
	a, b := open(t, ""), open(t, "")
	defer a.Close()
	defer b.Close()
	require.NoError(t, a.Set([]byte("a"), nil, pebble.Sync))
	_, _, err := b.Get([]byte("a"))
	require.ErrorIs(t, err, pebble.ErrNotFound)
}

func TestOpenLockedDir(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	_, err := disk.Open(options(dir, "letters", 3))
	var locked *disk.LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, dir, locked.Dir)

	require.NoError(t, db.Close())
	require.NoError(t, open(t, dir).Close(), "Close releases the lock")
}

func TestOpenUnwritableDir(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := disk.Open(options(file, "letters", 3))
	require.Error(t, err)
	require.NotErrorAs(t, err, new(*disk.LockedError))
}

func TestOpenWrongKindOrVersion(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, open(t, dir).Close())

	_, err := disk.Open(options(dir, "numbers", 3))
	var kind *disk.KindError
	require.ErrorAs(t, err, &kind)
	require.Equal(t, disk.KindError{Dir: dir, Got: "letters", Want: "numbers"}, *kind)

	for _, want := range []int{2, 4} {
		_, err = disk.Open(options(dir, "letters", want))
		var version *disk.VersionError
		require.ErrorAs(t, err, &version)
		require.Equal(t, disk.VersionError{Dir: dir, Got: 3, Want: want}, *version)
	}
	require.NoError(t, open(t, dir).Close(), "a refused Open does not change the store")
}

func TestOpenDataWithoutFormatRecord(t *testing.T) {
	dir := t.TempDir()
	db, err := pebble.Open(dir, &pebble.Options{})
	require.NoError(t, err)
	require.NoError(t, db.Set([]byte("a"), nil, pebble.Sync))
	require.NoError(t, db.Close())

	_, err = disk.Open(options(dir, "letters", 3))
	require.ErrorAs(t, err, new(*disk.KindError))
	require.ErrorContains(t, err, "unknown data")
}

func TestOpenCorruptStore(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	require.NoError(t, db.Set([]byte("a"), []byte("1"), pebble.Sync))
	require.NoError(t, db.Flush())
	require.NoError(t, db.Close())
	manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
	require.NoError(t, err)
	require.NotEmpty(t, manifests)
	for _, m := range manifests {
		require.NoError(t, os.WriteFile(m, []byte("this is not a manifest of a Pebble store"), 0o600))
	}

	_, err = disk.Open(options(dir, "letters", 3))
	require.ErrorAs(t, err, new(*disk.CorruptError))
	_, err = disk.Open(options(dir, "letters", 3))
	require.NotErrorAs(t, err, new(*disk.LockedError), "a failed Open leaves no lock")
}
