package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// keeping serves with a real folder of contents.
func keeping(t *testing.T) (s server, kept *blob.Store, dir string) {
	t.Helper()
	dir = t.TempDir()
	kept, err := blob.Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	return start(t, func(c *Config, _ *store.Store) { c.Artifacts = kept }), kept, dir
}

// left ends an execution as one that left a file of so many bytes, and a result as large.
func (s server) left(kept *blob.Store, size int) contract.Execution {
	s.t.Helper()
	id := s.run(s.agent().Id).ExecutionId
	ref := execution.Ref{Owner: localTenant, ID: id}
	ch, err := s.store.Apply(s.t.Context(), ref, execution.Claimed{Executor: "x", Lease: time.Minute})
	require.NoError(s.t, err)
	text := strings.Repeat("c", size)
	put := func(key blob.Key, content []byte) execution.Content {
		c, err := kept.Put(s.t.Context(), key, bytes.NewReader(content))
		require.NoError(s.t, err)
		return c
	}
	encoded, err := blob.EncodeResult(&execution.Result{Text: text})
	require.NoError(s.t, err)
	whole := put(blob.ResultOf(&ch.Execution), encoded)
	_, err = s.store.Apply(s.t.Context(), ref, execution.Finished{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: (&execution.Result{Text: "the beginning"}).Shortened(whole),
		Files: []execution.File{{Path: "a/b.txt", Content: put(blob.FileOf(&ch.Execution, 0), []byte(text))}},
	}})
	require.NoError(s.t, err)
	return call[contract.Execution](s, http.MethodGet, "/executions/"+id, http.StatusOK, "")
}

func TestContentsAreHandedOutWhole(t *testing.T) {
	t.Parallel()
	s, kept, _ := keeping(t)
	e := s.left(kept, 3<<20)
	for path, size := range map[string]int64{e.Files[0].Url: e.Files[0].Size, e.Result.Url: e.Result.Size} {
		got := s.do(http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, got.StatusCode)
		require.Len(t, got.body, int(size))
		end := s.do(http.MethodGet, path, "", "Range", "bytes=-5")
		require.Equal(t, http.StatusPartialContent, end.StatusCode)
		require.Equal(t, got.body[size-5:], end.body)
		beyond := s.do(http.MethodGet, path, "", "Range", "bytes=99999999-")
		require.Equal(t, http.StatusRequestedRangeNotSatisfiable, beyond.StatusCode)
	}
	listed := call[contract.ExecutionList](s, http.MethodGet, "/executions", http.StatusOK, "").Executions[0]
	require.Empty(t, listed.Files, "a list is not longer for what was left")
}

func TestThereIsNoResultBeforeTheEnd(t *testing.T) {
	t.Parallel()
	s, _, _ := keeping(t)
	run := s.run(s.agent().Id)
	got := call[contract.Problem](s, http.MethodGet, run.Urls.Self+"/result", http.StatusNotFound, "")
	require.Equal(t, contract.ProblemNotFound, got.Code)
}

// What storage has lost or changed is said to be lost; where that turns out on
// the way, the answer is seen to be cut short.
func TestALostContentIsNotHandedOut(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 3 << 20} {
		s, kept, dir := keeping(t)
		e := s.left(kept, size)
		spoil(t, dir, overwrite)
		for _, path := range []string{e.Files[0].Url, e.Result.Url} {
			if size == 100 {
				require.Equal(t, contract.ProblemResultLost, call[contract.Problem](s, http.MethodGet, path, http.StatusGone, "").Code)
				continue
			}
			res, err := http.Get(s.url + path)
			require.NoError(t, err)
			got, err := io.ReadAll(res.Body)
			require.NoError(t, res.Body.Close())
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Less(t, int64(len(got)), res.ContentLength)
		}
		spoil(t, dir, os.Remove)
		require.Equal(t, contract.ProblemResultLost, call[contract.Problem](s, http.MethodGet, e.Result.Url, http.StatusGone, "").Code)
	}
}

// overwrite keeps a file's size.
func overwrite(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Repeat([]byte("X"), int(info.Size())), 0o600)
}

func spoil(t *testing.T, dir string, each func(path string) error) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = each(path)
		}
		return err
	}))
}

// away is storage that does not answer.
type away struct{}

func (away) Get(context.Context, blob.Key, execution.Content) (*blob.Reader, error) {
	return nil, fmt.Errorf("%w: %w", blob.ErrUnavailable, errors.New("bucket-7.internal: connection refused"))
}

func TestStorageThatIsAwayIsNotALostContent(t *testing.T) {
	t.Parallel()
	s, kept, _ := keeping(t)
	e := s.left(kept, 100)
	s.config.Artifacts = away{}
	got := s.do(http.MethodGet, e.Result.Url, "")
	require.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	require.NotEmpty(t, got.Header.Get("Retry-After"))
	require.NotContains(t, string(got.body), "bucket-7")
}
