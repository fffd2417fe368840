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
func ended(owner, id string, attempt int) *execution.Execution {
	return &execution.Execution{Owner: owner, ID: id, Attempt: attempt}
}

// folderStore is a store in a folder that does not exist yet.
func folderStore(t testing.TB) (s *Store, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "of", "blobs")
	s, err := Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, dir
}

// stored are the paths of all files below dir.
func stored(t *testing.T, dir string) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

func TestAContentComesBackAsItWas(t *testing.T) {
	t.Parallel()
	s, dir := folderStore(t)
	for _, size := range []int{0, 1, ahead - 1, ahead, ahead + 1, 5 << 20} {
		data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		put, err := s.Put(t.Context(), ResultOf(ended("ada", "exe_1", 1)), bytes.NewReader(data))
		require.NoError(t, err)
		hash := sha256.Sum256(data)
		require.Equal(t, execution.Content{Size: int64(size), SHA256: hash[:]}, put)

		r, err := s.Get(t.Context(), ResultOf(ended("ada", "exe_1", 1)), put)
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
func TestAContentIsReadFromAnyPlace(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	data := make([]byte, ahead+1000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	key := FileOf(ended("ada", "exe_1", 1), 0)
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
			from := min(at, len(data))
			require.Equal(rt, data[from:min(from+length, len(data))], got)
		}
	})
}

func TestTheSeekerIsOne(t *testing.T) {
	t.Parallel()
	s, _ := folderStore(t)
	key := ResultOf(ended("ada", "exe_1", 1))
	data := bytes.Repeat([]byte("x y z"), 1000)
	put, err := s.Put(t.Context(), key, bytes.NewReader(data))
	require.NoError(t, err)
	r, err := s.Get(t.Context(), key, put)
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, iotest.TestReader(r, data))
}

// What is not what was put there is not given out as if it were.
func TestALostContentIsSaidToBe(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, file string, data []byte){
		"gone":       func(t *testing.T, file string, _ []byte) { require.NoError(t, os.Remove(file)) },
		"cut":        func(t *testing.T, file string, data []byte) { write(t, file, data[:len(data)-1]) },
		"longer":     func(t *testing.T, file string, data []byte) { write(t, file, append(data, 'x')) },
		"changed":    func(t *testing.T, file string, data []byte) { data[0]++; write(t, file, data) },
		"other text": func(t *testing.T, file string, data []byte) { write(t, file, make([]byte, len(data))) },
	} {
		for _, size := range []int{10, ahead, 1 << 20} {
			s, dir := folderStore(t)
			key := ResultOf(ended("ada", "exe_1", 1))
			data := bytes.Repeat([]byte{'d'}, size)
			put, err := s.Put(t.Context(), key, bytes.NewReader(data))
			require.NoError(t, err)
			spoil(t, stored(t, dir)[0], data)

			r, err := s.Get(t.Context(), key, put)
			if err != nil {
				require.ErrorIs(t, err, ErrLost, "%s, %d bytes", name, size)
				require.NotErrorIs(t, err, ErrUnavailable)
				continue
			}
			require.Greater(t, size, ahead, "%s: what is small is looked at before any of it is given out", name)
			got, err := io.ReadAll(r)
			require.ErrorIs(t, err, ErrLost, "%s, %d bytes", name, size)
			require.ErrorIs(t, r.Err(), ErrLost)
			require.Less(t, len(got), size, "the end is kept back")
			require.NoError(t, r.Close())
		}
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, data, 0o600))
}

// An upload that breaks off leaves nothing under its key, and what was there before stays.
func TestAPutIsWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	s, dir := folderStore(t)
	key := ResultOf(ended("ada", "exe_1", 1))
	broken := io.MultiReader(bytes.NewReader(make([]byte, 3<<20)), iotest.ErrReader(errors.New("the disk is gone")))
	_, err := s.Put(t.Context(), key, broken)
	require.ErrorIs(t, err, ErrUnavailable)
	require.Empty(t, stored(t, dir))

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
	s, _ := folderStore(t)
	late, now := ended("ada", "exe_1", 1), ended("ada", "exe_1", 2)
	put, err := s.Put(t.Context(), FileOf(now, 0), bytes.NewReader([]byte("of the second")))
	require.NoError(t, err)
	_, err = s.Put(t.Context(), FileOf(late, 0), bytes.NewReader([]byte("of the first, late")))
	require.NoError(t, err)
	r, err := s.Get(t.Context(), FileOf(now, 0), put)
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
	s, dir := folderStore(t)
	all := []*execution.Execution{ended("ada", "exe_1", 1), ended("ada", "exe_1", 2), ended("ada", "exe_12", 1), ended("adam", "exe_1", 1)}
	for _, e := range all {
		for i := range 3 {
			_, err := s.Put(t.Context(), FileOf(e, i), bytes.NewReader([]byte("x")))
			require.NoError(t, err)
		}
	}
	require.Len(t, stored(t, dir), 12)
	for range 2 { // repeated, it finds nothing to do
		require.NoError(t, s.Delete(t.Context(), execution.Ref{Owner: "ada", ID: "exe_1"}))
		left := stored(t, dir)
		require.Len(t, left, 6)
		for _, path := range left {
			require.NotContains(t, path, "ada/exe_1/")
		}
	}
}

func TestStorageThatIsAway(t *testing.T) {
	t.Parallel()
	s, dir := folderStore(t)
	require.NoError(t, s.Check(t.Context()))
	require.Empty(t, stored(t, dir), "the check leaves nothing")
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.WriteFile(dir, nil, 0o600)) // a file where the folder was
	_, err := s.Put(t.Context(), ResultOf(ended("ada", "exe_1", 1)), bytes.NewReader([]byte("x")))
	require.ErrorIs(t, err, ErrUnavailable)
	require.Error(t, s.Check(t.Context()))
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, location := range []string{"", "blobs", "ftp://x", "file://%zz", "file:///dev/null/below"} {
		_, err := Open(t.Context(), location)
		require.ErrorContains(t, err, "blob storage", location)
	}
}
