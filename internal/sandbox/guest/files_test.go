package guest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestFilesAreWrittenWithTheirModes(t *testing.T) {
	work, home := t.TempDir(), t.TempDir()
	err := writeFiles([]sandbox.File{
		{Path: work + "/a/b/c.sh", Mode: 0o755, Data: []byte("run")},
		{Path: home + "/.secret", Mode: 0o600, Data: nil},
		{Path: work + "/a/b/c.sh", Mode: 0o644, Data: []byte("overwritten")},
	}, []string{work, home})
	require.NoError(t, err)

	data, err := os.ReadFile(work + "/a/b/c.sh")
	require.NoError(t, err)
	require.Equal(t, "overwritten", string(data))
	for path, mode := range map[string]os.FileMode{
		work + "/a/b/c.sh": 0o644, home + "/.secret": 0o600,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
}

func TestFileOutsideAllowedDirsIsNotWritten(t *testing.T) {
	work, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(work, "link")))
	for _, path := range []string{
		"/etc/passwd", work, work + "x/f", work + "/../f", work + "/a/../../f", work + "/link/f", "relative", "",
	} {
		err := writeFiles([]sandbox.File{{Path: path, Data: []byte("x")}}, []string{work})
		require.Error(t, err, path)
	}
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, entries)
}
