package blob

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A content survives a power cut: its bytes are on disk before it gets its name, and its name and all folders above are
// on disk before Put returns.
func TestPutSyncsBeforeReturn(t *testing.T) {
	t.Parallel()
	s, root := newFileStore(t)
	key := ResultKey(newExecution("ada", "exe_1", 1))
	path := filepath.Join(root, filepath.FromSlash(key.String()))
	var synced []string
	s.syncFile = func(f *os.File) error {
		info, err := f.Stat()
		require.NoError(t, err)
		if info.IsDir() {
			require.FileExists(t, path)
			synced = append(synced, f.Name())
			return f.Sync()
		}
		require.NoFileExists(t, path)
		require.EqualValues(t, len("content"), info.Size())
		require.Equal(t, filepath.Dir(path), filepath.Dir(f.Name()), "a rename from another folder would need another sync")
		synced = append(synced, "content")
		return f.Sync()
	}
	_, err := s.Put(t.Context(), key, bytes.NewReader([]byte("content")))
	require.NoError(t, err)
	attempt := filepath.Dir(path)
	require.Equal(t, []string{"content", attempt, filepath.Dir(attempt), filepath.Dir(filepath.Dir(attempt)), root}, synced)
}

// Put returns an error if a sync fails. A later Put may succeed.
func TestPutReturnsSyncError(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	for after := range 5 { // the content, and four folders
		s, root := newFileStore(t)
		calls := 0
		s.syncFile = func(f *os.File) error {
			if calls++; calls > after {
				return broken
			}
			return f.Sync()
		}
		_, err := s.Put(t.Context(), ResultKey(newExecution("ada", "exe_1", 1)), strings.NewReader("content"))
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorIs(t, err, broken)
		if after == 0 {
			require.Empty(t, listFiles(t, root), "the file never got its name")
		}

		s.syncFile = (*os.File).Sync
		put, err := s.Put(t.Context(), ResultKey(newExecution("ada", "exe_1", 1)), strings.NewReader("content"))
		require.NoError(t, err, "another attempt succeeds")
		_, err = s.Get(t.Context(), ResultKey(newExecution("ada", "exe_1", 1)), put)
		require.NoError(t, err)
	}
}
