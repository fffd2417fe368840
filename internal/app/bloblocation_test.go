package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator"
)

func TestDevBlobLocation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	where := func(d Dev) (string, func() error) {
		location, remove, err := d.blobLocation()
		require.NoError(t, err)
		return location, remove
	}
	set, _ := where(Dev{BlobURL: "gs://b", Emulators: emulator.Options{Dir: dir}})
	require.Equal(t, "gs://b", set)
	beside, _ := where(Dev{Emulators: emulator.Options{Dir: dir}})
	require.Equal(t, "file://"+dir+"/blobs", beside)
	none, _ := where(Dev{NoAPI: true, NoExecutor: true})
	require.Empty(t, none)

	temporary, remove := where(Dev{}) // what is in memory only leaves nothing behind
	folder := strings.TrimPrefix(temporary, "file://")
	require.DirExists(t, folder)
	require.NoError(t, remove())
	require.NoDirExists(t, folder)
}

func TestDoctorChecksBlobStorage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	require.NoError(t, checkBlobStorage(t.Context(), fileURL(dir)).Err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, checkBlobStorage(t.Context(), "").Err)
	require.Error(t, checkBlobStorage(t.Context(), "file:///proc/blobs").Err)
	require.Error(t, checkBlobStorage(t.Context(), "nonsense").Err)
}
