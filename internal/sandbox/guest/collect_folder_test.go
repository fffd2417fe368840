package guest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func packedFolder(t *testing.T, dir string, limit int64) (map[string]string, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	var out bytes.Buffer
	files, err := packFolder(root, &limitedWriter{to: &out, remaining: limit})
	if err != nil {
		return nil, err
	}
	got := map[string]string{}
	for archive := tar.NewReader(&out); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			require.Len(t, got, files)
			return got, nil
		}
		require.NoError(t, err)
		require.Equal(t, byte(tar.TypeReg), header.Typeflag)
		content, err := io.ReadAll(archive)
		require.NoError(t, err)
		got[header.Name] = string(content)
	}
}

func writeFileAt(t *testing.T, name, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
}

// Only regular files are packed, and no link is followed.
func TestPackFolder(t *testing.T) {
	dir := t.TempDir()
	writeFileAt(t, dir+"/2026/01/a.jsonl", "a")
	writeFileAt(t, dir+"/b", "b")
	require.NoError(t, os.Symlink("/etc/passwd", dir+"/link"))
	require.NoError(t, os.Symlink("/etc", dir+"/folder"))
	require.NoError(t, os.Mkdir(dir+"/empty", 0o755))
	got, err := packedFolder(t, dir, 1<<20)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"2026/01/a.jsonl": "a", "b": "b"}, got)
}

// A folder is packed as a whole, or not at all.
func TestPackFolderTooLarge(t *testing.T) {
	dir := t.TempDir()
	writeFileAt(t, dir+"/a", strings.Repeat("a", 100_000))
	_, err := packedFolder(t, dir, 100_000)
	require.ErrorIs(t, err, errFolderUnusable)
	_, err = packedFolder(t, dir, 110_000)
	require.NoError(t, err)

	for i := range sandbox.MaxOutputFiles {
		writeFileAt(t, dir+"/many/"+strconv.Itoa(i), "")
	}
	_, err = packedFolder(t, dir, 1<<30)
	require.ErrorIs(t, err, errFolderUnusable)

	other := t.TempDir()
	writeFileAt(t, other+"/line\nfeed", "x")
	_, err = packedFolder(t, other, 1<<20)
	require.ErrorIs(t, err, errFolderUnusable)
}
