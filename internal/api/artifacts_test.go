package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// startWithBlobs starts a server with blob storage in a folder.
func startWithBlobs(t *testing.T) (s server, blobs *blob.Store, dir string) {
	t.Helper()
	dir = t.TempDir()
	blobs, err := blob.Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, blobs.Close()) })
	return startServer(t, func(c *Config, _ *store.Store) { c.Artifacts = blobs }), blobs, dir
}

// finishWithArtifacts finishes an execution that has an output file and a result of size bytes.
func (s server) finishWithArtifacts(blobs *blob.Store, size int) contract.Execution {
	s.t.Helper()
	id := s.runAgent(s.createAgent().Id).ExecutionId
	ref := execution.Ref{Tenant: defaultTenant, ID: id}
	ch, err := s.store.Apply(s.t.Context(), ref, execution.Claimed{Executor: "x"})
	require.NoError(s.t, err)
	text := strings.Repeat("c", size)
	put := func(key blob.Key, content []byte) execution.Content {
		c, err := blobs.Put(s.t.Context(), key, bytes.NewReader(content))
		require.NoError(s.t, err)
		return c
	}
	encoded, err := json.Marshal(contract.Result{Text: text})
	require.NoError(s.t, err)
	complete := put(blob.ResultKey(&ch.Execution), encoded)
	_, err = s.store.Apply(s.t.Context(), ref, execution.JobEnded{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: (&execution.Result{Text: "the beginning"}).Truncate(complete),
		Files: []execution.File{{Path: "a/b.txt", Content: put(blob.FileKey(&ch.Execution, 0), []byte(text))}},
	}})
	require.NoError(s.t, err)
	return call[contract.Execution](s, "GET /executions/"+id, http.StatusOK, "")
}

func TestDownloadArtifacts(t *testing.T) {
	t.Parallel()
	s, blobs, _ := startWithBlobs(t)
	e := s.finishWithArtifacts(blobs, 3<<20)
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
	listed := call[contract.ExecutionList](s, "GET /executions", http.StatusOK, "").Executions[0]
	require.Empty(t, listed.Files, "lists have no output files")
}

func TestResultNotFoundBeforeFinish(t *testing.T) {
	t.Parallel()
	s, _, _ := startWithBlobs(t)
	run := s.runAgent(s.createAgent().Id)
	got := call[contract.Problem](s, "GET "+run.Urls.Self+"/result", http.StatusNotFound, "")
	require.Equal(t, contract.ProblemNotFound, got.Code)
}

// A file that storage has lost or changed is reported as lost. If the server notices it while it sends the file, the
// response is incomplete.
func TestLostArtifactIsReported(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 3 << 20} {
		s, blobs, dir := startWithBlobs(t)
		e := s.finishWithArtifacts(blobs, size)
		changeEachFile(t, dir, overwriteSameSize)
		for _, path := range []string{e.Files[0].Url, e.Result.Url} {
			if size == 100 {
				require.Equal(t, contract.ProblemArtifactLost, call[contract.Problem](s, "GET "+path, http.StatusGone, "").Code)
				continue
			}
			res, err := http.Get(s.url + path)
			require.NoError(t, err)
			got, err := io.ReadAll(res.Body)
			require.NoError(t, res.Body.Close())
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Less(t, int64(len(got)), res.ContentLength)
		}
		changeEachFile(t, dir, os.Remove)
		require.Equal(t, contract.ProblemArtifactLost, call[contract.Problem](s, "GET "+e.Result.Url, http.StatusGone, "").Code)
	}
}

// overwriteSameSize changes the content of a file, but not its size.
func overwriteSameSize(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Repeat([]byte("X"), int(info.Size())), 0o600)
}

func changeEachFile(t *testing.T, dir string, each func(path string) error) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = each(path)
		}
		return err
	}))
}

// unavailableBlobs is blob storage that does not answer.
type unavailableBlobs struct{}

func (unavailableBlobs) Transcript(context.Context, execution.Ref) (*blob.TranscriptReader, error) {
	return nil, blob.ErrUnavailable
}

func (unavailableBlobs) Get(context.Context, blob.Key, execution.Content) (*blob.Reader, error) {
	return nil, fmt.Errorf("%w: %w", blob.ErrUnavailable, errors.New("bucket-7.internal: connection refused"))
}

func (unavailableBlobs) Put(context.Context, blob.Key, io.Reader) (execution.Content, error) {
	return execution.Content{}, blob.ErrUnavailable
}

func (unavailableBlobs) DeleteContent(context.Context, blob.Key) error { return blob.ErrUnavailable }

func TestUnavailableStorageIsNotLost(t *testing.T) {
	t.Parallel()
	s, blobs, _ := startWithBlobs(t)
	e := s.finishWithArtifacts(blobs, 100)
	s.config.Artifacts = unavailableBlobs{}
	got := s.do(http.MethodGet, e.Result.Url, "")
	require.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
	require.NotEmpty(t, got.Header.Get("Retry-After"))
	require.NotContains(t, string(got.body), "bucket-7")
}
