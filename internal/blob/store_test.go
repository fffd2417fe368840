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

// newExecution returns an execution with a number of attempts.
func newExecution(tenant, id string, attempt int) *execution.Execution {
	return &execution.Execution{Tenant: tenant, ID: id, Attempt: attempt}
}

// newFileStore returns a store in a folder that does not exist yet.
func newFileStore(t testing.TB) (s *Store, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "new", "blobs")
	s, err := Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, dir
}

// listFiles returns the paths of all files below dir.
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
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm(), "other users of the machine must not read the contents")
}

// After any Seek the reader returns the same bytes as a slice.
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

// A content that was removed or changed is never read without an error.
func TestGetLostContent(t *testing.T) {
	t.Parallel()
	for name, corrupt := range map[string]func(t *testing.T, file string, data []byte){
		"removed":   func(t *testing.T, file string, _ []byte) { require.NoError(t, os.Remove(file)) },
		"truncated": func(t *testing.T, file string, data []byte) { writeFile(t, file, data[:len(data)-1]) },
		"extended":  func(t *testing.T, file string, data []byte) { writeFile(t, file, append(data, 'x')) },
		"one byte":  func(t *testing.T, file string, data []byte) { data[0]++; writeFile(t, file, data) },
		"all bytes": func(t *testing.T, file string, data []byte) { writeFile(t, file, make([]byte, len(data))) },
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
			require.Greater(t, size, prefetchSize, "%s: a small content is checked before it is read", name)
			got, err := io.ReadAll(r)
			require.ErrorIs(t, err, ErrLost, "%s, %d bytes", name, size)
			require.ErrorIs(t, r.Err(), ErrLost)
			require.Less(t, len(got), size, "the end is withheld")
			require.NoError(t, r.Close())
		}
	}
}

func writeFile(t *testing.T, file string, data []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, data, 0o600))
}

// A Put that fails stores nothing, and an earlier content stays.
func TestFailedPutStoresNothing(t *testing.T) {
	t.Parallel()
	s, dir := newFileStore(t)
	key := ResultKey(newExecution("ada", "exe_1", 1))
	broken := io.MultiReader(bytes.NewReader(make([]byte, 3<<20)), iotest.ErrReader(errors.New("disk failure")))
	_, err := s.Put(t.Context(), key, broken)
	require.ErrorIs(t, err, ErrUnavailable)
	require.Empty(t, listFiles(t, dir))

	first, err := s.Put(t.Context(), key, bytes.NewReader([]byte("first")))
	require.NoError(t, err)
	_, err = s.Put(t.Context(), key, iotest.ErrReader(errors.New("disk failure")))
	require.Error(t, err)
	r, err := s.Get(t.Context(), key, first)
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

// An attempt that has lost its lease writes under other keys than the next attempt.
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

// Delete deletes all contents of one execution, also if the ID of another execution begins with its ID.
func TestDelete(t *testing.T) {
	t.Parallel()
	s, dir := newFileStore(t)
	all := []*execution.Execution{
		newExecution("ada", "exe_1", 1), newExecution("ada", "exe_1", 2), newExecution("ada", "exe_12", 1), newExecution("adam", "exe_1", 1),
	}
	for _, e := range all {
		for i := range 3 {
			_, err := s.Put(t.Context(), FileKey(e, i), bytes.NewReader([]byte("x")))
			require.NoError(t, err)
		}
	}
	require.Len(t, listFiles(t, dir), 12)
	for range 2 { // the second time there is nothing to delete
		require.NoError(t, s.Delete(t.Context(), execution.Ref{Tenant: "ada", ID: "exe_1"}))
		remaining := listFiles(t, dir)
		require.Len(t, remaining, 6)
		for _, path := range remaining {
			require.NotContains(t, path, "ada/exe_1/")
		}
	}
}

// A session is below its execution, and is deleted alone or with it.
func TestDeleteContent(t *testing.T) {
	t.Parallel()
	s, dir := newFileStore(t)
	e := newExecution("ada", "exe_1", 2)
	session := SessionKey("ada", &execution.AgentSession{ExecutionID: "exe_1", Attempt: 2})
	for _, key := range []Key{session, ResultKey(e)} {
		_, err := s.Put(t.Context(), key, bytes.NewReader([]byte("x")))
		require.NoError(t, err)
	}
	for range 2 { // the second time there is nothing to delete
		require.NoError(t, s.DeleteContent(t.Context(), session))
		require.Len(t, listFiles(t, dir), 1)
	}
	_, err := s.Put(t.Context(), session, bytes.NewReader([]byte("x")))
	require.NoError(t, err)
	require.NoError(t, s.Delete(t.Context(), e.Ref()))
	require.Empty(t, listFiles(t, dir))
}

func TestUnavailableStorage(t *testing.T) {
	t.Parallel()
	s, dir := newFileStore(t)
	require.NoError(t, s.Check(t.Context()))
	require.Empty(t, listFiles(t, dir), "Check deletes its content")
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.WriteFile(dir, nil, 0o600)) // a file in place of the folder
	_, err := s.Put(t.Context(), ResultKey(newExecution("ada", "exe_1", 1)), bytes.NewReader([]byte("x")))
	require.ErrorIs(t, err, ErrUnavailable)
	require.Error(t, s.Check(t.Context()))
	require.ErrorIs(t, s.DeleteContent(t.Context(), ResultKey(newExecution("ada", "exe_1", 1))), ErrUnavailable)
}

func TestOpenInvalidURL(t *testing.T) {
	t.Parallel()
	for _, location := range []string{"", "blobs", "ftp://x", "file://%zz", "file:///dev/null/below"} {
		_, err := Open(t.Context(), location)
		require.ErrorContains(t, err, "blob storage", location)
	}
}
