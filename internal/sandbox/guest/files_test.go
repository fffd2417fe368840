package guest

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
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

// Streamed files end where their sizes say: what follows belongs to somebody else. A read-only file and a link that an
// earlier job has left are replaced, not written through.
func TestStreamedFilesReplaceWhatIsThere(t *testing.T) {
	work := t.TempDir()
	require.NoError(t, os.WriteFile(work+"/old", []byte("old"), 0o400))
	require.NoError(t, os.Symlink("old", work+"/link"))
	stream := strings.NewReader("newerlinkedcontrol")
	require.NoError(t, writeStreamedFiles([]frame.StreamedFile{
		{Path: work + "/old", Mode: 0o644, Size: 5}, {Path: work + "/link", Mode: 0o644, Size: 6}, {Path: work + "/d/empty", Mode: 0o644},
	}, stream, []string{work}))
	rest, err := io.ReadAll(stream)
	require.NoError(t, err)
	require.Equal(t, "control", string(rest))
	for name, want := range map[string]string{"old": "newer", "link": "linked", "d/empty": ""} {
		data, err := os.ReadFile(filepath.Join(work, name))
		require.NoError(t, err)
		require.Equal(t, want, string(data), name)
	}
	require.ErrorIs(t, writeStreamedFiles([]frame.StreamedFile{{Path: work + "/short", Size: 1}}, stream, []string{work}), io.EOF)
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
