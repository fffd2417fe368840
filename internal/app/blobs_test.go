package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator"
)

func TestWhereBlobsAreOnOneMachine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	where := func(d Dev) (string, func() error) {
		location, remove, err := d.blobs()
		require.NoError(t, err)
		return location, remove
	}
	set, _ := where(Dev{BlobURL: "gs://b", Emulators: emulator.Options{Dir: dir}})
	require.Equal(t, "gs://b", set)
	beside, _ := where(Dev{Emulators: emulator.Options{Dir: dir}})
	require.Equal(t, "file://"+dir+"/blobs", beside)
	none, _ := where(Dev{NoAPI: true, NoExecutor: true})
	require.Empty(t, none)

	short, remove := where(Dev{}) // what is in memory only leaves nothing behind
	folder := strings.TrimPrefix(short, "file://")
	require.DirExists(t, folder)
	require.NoError(t, remove())
	require.NoDirExists(t, folder)
}

func TestTheDoctorLooksWhetherBlobsCanBeKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	require.NoError(t, blobs(t.Context(), folderURL(dir)).Err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, blobs(t.Context(), "").Err)
	require.Error(t, blobs(t.Context(), "file:///proc/blobs").Err)
	require.Error(t, blobs(t.Context(), "nonsense").Err)
}
