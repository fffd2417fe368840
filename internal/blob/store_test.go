package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// ended is an execution as its attempt ended it.
func newExecution(tenant, id string, attempt int) *execution.Execution {
	return &execution.Execution{Tenant: tenant, ID: id, Attempt: attempt}
}

// folderStore is a store in a folder that does not exist yet.
func newFileStore(t testing.TB) (s *Store, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "of", "blobs")
	s, err := Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, dir
}

// stored are the paths of all files below dir.
func listFiles(t *testing.T, dir string) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

func TestPutGetRoundTrip(t *testing.T) {
	t.Parallel()
	s, dir := newFileStore(t)
	for _, size := range []int{0, 1, prefetchSize - 1, prefetchSize, prefetchSize + 1, 5 << 20} {
		data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		put, err := s.Put(t.Context(), ResultKey(newExecution("ada", "exe_1", 1)), bytes.NewReader(data))
		require.NoError(t, err)
		hash := sha256.Sum256(data)
		require.Equal(t, execution.Content{Size: int64(size), SHA256: hash[:]}, put)

		r, err := s.Get(t.Context(), ResultKey(newExecution("ada", "exe_1", 1)), put)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got), "%d bytes", size)
		require.NoError(t, r.Err())
		require.NoError(t, r.Close())
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm(), "the contents are for nobody else of the machine")
}

// A reader that jumps reads what a slice would hold.
func TestReaderSeekMatchesSlice(t *testing.T) {
	t.Parallel()
	s, _ := newFileStore(t)
	data := make([]byte, prefetchSize+1000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	key := FileKey(newExecution("ada", "exe_1", 1), 0)
	put, err := s.Put(t.Context(), key, bytes.NewReader(data))
	require.NoError(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		r, err := s.Get(context.Background(), key, put)
		require.NoError(rt, err)
		defer r.Close()
		for range rapid.IntRange(1, 6).Draw(rt, "jumps") {
			at := rapid.IntRange(0, len(data)+10).Draw(rt, "at")
			length := rapid.IntRange(0, 2000).Draw(rt, "length")
			_, err := r.Seek(int64(at), io.SeekStart)
			require.NoError(rt, err)
			got, err := io.ReadAll(io.LimitReader(r, int64(length)))
			require.NoError(rt, err)
			start := min(at, len(data))
			require.Equal(rt, data[start:min(start+length, len(data))], got)
		}
	})
}

func TestReaderImplementsSeeker(t *testing.T) {
	t.Parallel()
	s, _ := newFileStore(t)
	key := ResultKey(newExecution("ada", "exe_1", 1))
	data := bytes.Repeat([]byte("x y z"), 1000)
	put, err := s.Put(t.Context(), key, bytes.NewReader(data))
	require.NoError(t, err)
	r, err := s.Get(t.Context(), key, put)
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, iotest.TestReader(r, data))
}

// What is not what was put there is not given out as if it were.
func TestGetLostContent(t *testing.T) {
	t.Parallel()
	for name, corrupt := range map[string]func(t *testing.T, file string, data []byte){
		"gone":       func(t *testing.T, file string, _ []byte) { require.NoError(t, os.Remove(file)) },
		"cut":        func(t *testing.T, file string, data []byte) { writeFile(t, file, data[:len(data)-1]) },
		"longer":     func(t *testing.T, file string, data []byte) { writeFile(t, file, append(data, 'x')) },
		"changed":    func(t *testing.T, file string, data []byte) { data[0]++; writeFile(t, file, data) },
		"other text": func(t *testing.T, file string, data []byte) { writeFile(t, file, make([]byte, len(data))) },
	} {
		for _, size := range []int{10, prefetchSize, 1 << 20} {
			s, dir := newFileStore(t)
			key := ResultKey(newExecution("ada", "exe_1", 1))
			data := bytes.Repeat([]byte{'d'}, size)
			put, err := s.Put(t.Context(), key, bytes.NewReader(data))
			require.NoError(t, err)
			corrupt(t, listFiles(t, dir)[0], data)

			r, err := s.Get(t.Context(), key, put)
			if err != nil {
				require.ErrorIs(t, err, ErrLost, "%s, %d bytes", name, size)
				require.NotErrorIs(t, err, ErrUnavailable)
				continue
			}
			require.Greater(t, size, prefetchSize, "%s: what is small is looked at before any of it is given out", name)
			got, err := io.ReadAll(r)
			require.ErrorIs(t, err, ErrLost, "%s, %d bytes", name, size)
			require.ErrorIs(t, r.Err(), ErrLost)
			require.Less(t, len(got), size, "the end is kept back")
			require.NoError(t, r.Close())
		}
	}
}

func writeFile(t *testing.T, file string, data []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, data, 0o600))
}

// An upload that breaks off leaves nothing under its key, and what was there before stays.
func TestFailedPutStoresNothing(t *testing.T) {
	t.Parallel()
	s, dir := newFileStore(t)
	key := ResultKey(newExecution("ada", "exe_1", 1))
	broken := io.MultiReader(bytes.NewReader(make([]byte, 3<<20)), iotest.ErrReader(errors.New("the disk is gone")))
	_, err := s.Put(t.Context(), key, broken)
	require.ErrorIs(t, err, ErrUnavailable)
	require.Empty(t, listFiles(t, dir))

	first, err := s.Put(t.Context(), key, bytes.NewReader([]byte("first")))
	require.NoError(t, err)
	_, err = s.Put(t.Context(), key, iotest.ErrReader(errors.New("again")))
	require.Error(t, err)
	r, err := s.Get(t.Context(), key, first)
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

// An attempt that has lost its lease writes beside the one that has it.
func TestAttemptsDoNotOverwriteEachOther(t *testing.T) {
	t.Parallel()
	s, _ := newFileStore(t)
	first, second := newExecution("ada", "exe_1", 1), newExecution("ada", "exe_1", 2)
	put, err := s.Put(t.Context(), FileKey(second, 0), bytes.NewReader([]byte("of the second")))
	require.NoError(t, err)
	_, err = s.Put(t.Context(), FileKey(first, 0), bytes.NewReader([]byte("of the first, late")))
	require.NoError(t, err)
	r, err := s.Get(t.Context(), FileKey(second, 0), put)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "of the second", string(got))
	require.NoError(t, r.Close())
}

// Everything of an execution goes, and nothing of any other, also where one's
// name begins with another's.
func TestDelete(t *testing.T) {
	t.Parallel()
	s, dir := newFileStore(t)
	all := []*execution.Execution{newExecution("ada", "exe_1", 1), newExecution("ada", "exe_1", 2), newExecution("ada", "exe_12", 1), newExecution("adam", "exe_1", 1)}
	for _, e := range all {
		for i := range 3 {
			_, err := s.Put(t.Context(), FileKey(e, i), bytes.NewReader([]byte("x")))
			require.NoError(t, err)
		}
	}
	require.Len(t, listFiles(t, dir), 12)
	for range 2 { // repeated, it finds nothing to do
		require.NoError(t, s.Delete(t.Context(), execution.Ref{Tenant: "ada", ID: "exe_1"}))
		remaining := listFiles(t, dir)
		require.Len(t, remaining, 6)
		for _, path := range remaining {
			require.NotContains(t, path, "ada/exe_1/")
		}
	}
}

func TestUnavailableStorage(t *testing.T) {
	t.Parallel()
	s, dir := newFileStore(t)
	require.NoError(t, s.Check(t.Context()))
	require.Empty(t, listFiles(t, dir), "the check leaves nothing")
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.WriteFile(dir, nil, 0o600)) // a file where the folder was
	_, err := s.Put(t.Context(), ResultKey(newExecution("ada", "exe_1", 1)), bytes.NewReader([]byte("x")))
	require.ErrorIs(t, err, ErrUnavailable)
	require.Error(t, s.Check(t.Context()))
}

func TestOpenInvalidURL(t *testing.T) {
	t.Parallel()
	for _, location := range []string{"", "blobs", "ftp://x", "file://%zz", "file:///dev/null/below"} {
		_, err := Open(t.Context(), location)
		require.ErrorContains(t, err, "blob storage", location)
	}
}
