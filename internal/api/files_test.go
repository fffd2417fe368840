package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/file"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/quota"
	"github.com/airlock-run/airlock/internal/quota/quotatest"
	"github.com/airlock-run/airlock/internal/store"
)

const fileRetention = 720 * time.Hour

func withFileRetention(c *Config, _ *store.Store) { c.FileRetention = fileRetention }

func (s server) uploadFile(name, content string, header ...string) contract.File {
	s.t.Helper()
	return call[contract.File](s, "POST /files?name="+name, http.StatusCreated, content, append([]string{"Content-Type", "text/csv"}, header...)...)
}

func TestUploadedFileIsReadBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, withFileRetention)
	uploaded := s.uploadFile("in.csv", "a,b\n")
	sum := sha256.Sum256([]byte("a,b\n"))
	require.Equal(t, contract.File{
		Id: uploaded.Id, Name: "in.csv", Size: 4, Sha256: hex.EncodeToString(sum[:]), ContentType: "text/csv",
		CreatedAt: uploaded.CreatedAt, ExpiresAt: uploaded.CreatedAt.Add(fileRetention),
	}, uploaded)
	require.Equal(t, uploaded, call[contract.File](s, "GET /files/"+uploaded.Id, http.StatusOK, ""))

	got := s.do(http.MethodGet, "/files/"+uploaded.Id+"/content", "")
	require.Equal(t, "a,b\n", string(got.body))
	require.Equal(t, "attachment; filename=in.csv", got.Header.Get("Content-Disposition"))
	require.Equal(t, "application/octet-stream", got.Header.Get("Content-Type"), "a browser must not run it")
	require.Equal(t, "sandbox; default-src 'none'", got.Header.Get("Content-Security-Policy"))
	part := s.do(http.MethodGet, "/files/"+uploaded.Id+"/content", "", "Range", "bytes=2-2")
	require.Equal(t, http.StatusPartialContent, part.StatusCode)
	require.Equal(t, "b", string(part.body))

	empty := s.uploadFile("empty", "")
	require.Zero(t, empty.Size)
	listed := call[contract.FileList](s, "GET /files?limit=1", http.StatusOK, "")
	require.Equal(t, []contract.File{empty}, listed.Files)
	listed = call[contract.FileList](s, "GET /files?cursor="+listed.NextCursor, http.StatusOK, "")
	require.Equal(t, []contract.File{uploaded}, listed.Files)

	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, "/files/"+uploaded.Id, "").StatusCode)
	for _, path := range []string{"", "/content"} {
		require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/files/"+uploaded.Id+path, "").StatusCode)
	}
	require.Len(t, call[contract.FileList](s, "GET /files", http.StatusOK, "").Files, 1)
}

func TestRepeatedUploadStoresOneFile(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	first := s.do(http.MethodPost, "/files?name=a", "x", "Idempotency-Key", "k")
	require.Equal(t, http.StatusCreated, first.StatusCode)
	again := s.do(http.MethodPost, "/files?name=a", "x", "Idempotency-Key", "k")
	require.Equal(t, string(first.body), string(again.body))
	require.Equal(t, "true", again.Header.Get("Idempotent-Replayed"))
	require.Equal(t, first.Header.Get("Location"), again.Header.Get("Location"))
	for _, other := range []struct{ name, content string }{{"a", "y"}, {"b", "x"}} {
		got := s.do(http.MethodPost, "/files?name="+other.name, other.content, "Idempotency-Key", "k")
		require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode)
	}
	require.Len(t, call[contract.FileList](s, "GET /files", http.StatusOK, "").Files, 1)
}

// countUploads counts the uploads that are marked as in progress.
func (s server) countUploads() int {
	s.t.Helper()
	snaps, err := s.firestore.Client.CollectionGroup("uploads").Documents(s.t.Context()).GetAll()
	require.NoError(s.t, err)
	return len(snaps)
}

func TestRejectedUploads(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *Config, _ *store.Store) { c.Origins = []string{"https://allowed.example"} })
	for name, c := range map[string]struct {
		query  string
		header []string
		status int
		code   contract.ProblemCode
	}{
		"no name":          {"", nil, 400, contract.ProblemInvalidRequest},
		"an empty name":    {"?name=%20", nil, 400, contract.ProblemInvalidRequest},
		"a folder":         {"?name=a/b", nil, 400, contract.ProblemInvalidRequest},
		"the folder above": {"?name=..", nil, 400, contract.ProblemInvalidRequest},
		"a control":        {"?name=a%0ab", nil, 400, contract.ProblemInvalidRequest},
		"a long name":      {"?name=" + strings.Repeat("x", 256), nil, 400, contract.ProblemInvalidRequest},
		"a form":           {"?name=a", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, contract.ProblemUnsupportedMediaType},
		"curl -d":          {"?name=a", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, contract.ProblemUnsupportedMediaType},
		"no media type":    {"?name=a", []string{"Content-Type", "///"}, 415, contract.ProblemUnsupportedMediaType},
		"gzip":             {"?name=a", []string{"Content-Encoding", "gzip"}, 415, contract.ProblemUnsupportedMediaType},
		"a foreign page": {
			"?name=a", []string{"Content-Type", "text/plain", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
			403, contract.ProblemHostNotAllowed,
		},
	} {
		got := s.do(http.MethodPost, "/files"+c.query, "x", c.header...)
		require.Equal(t, c.status, got.StatusCode, "%s: %s", name, got.body)
		require.Equal(t, c.code, decodeProblem(t, got).Code, name)
	}
	require.Empty(t, call[contract.FileList](s, "GET /files", http.StatusOK, "").Files)
	require.Zero(t, s.countUploads())
	allowed := s.do(http.MethodPost, "/files?name=a", "x", "Origin", "https://allowed.example", "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusCreated, allowed.StatusCode)
}

// zeros is a body of a number of bytes, without a length.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A file of the largest size is stored, and one of a byte more is refused, whether its length is known or not. The
// refused ones leave nothing.
func TestFileSizeLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	upload := func(size, length int64) response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/files?name=large", zeros(size))
		require.NoError(t, err)
		req.ContentLength = length
		res, err := contractClient.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return response{res, body}
	}
	require.Equal(t, http.StatusCreated, upload(file.MaxBytes, -1).StatusCode)
	refused := upload(file.MaxBytes+1, -1)
	require.Equal(t, http.StatusRequestEntityTooLarge, refused.StatusCode)
	require.Equal(t, contract.ProblemContentTooLarge, decodeProblem(t, refused).Code)
	require.Len(t, call[contract.FileList](s, "GET /files", http.StatusOK, "").Files, 1)
	require.Zero(t, s.countUploads())

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/files?name=large", strings.NewReader(""))
	require.NoError(t, err)
	req.ContentLength = file.MaxBytes + 1
	req.Header.Set("Expect", "100-continue")
	req.Body = io.NopCloser(zeros(file.MaxBytes + 1))
	res, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}).Do(req)
	require.NoError(t, err, "answered before the client sends the file")
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
}

// A client that disconnects in the middle leaves nothing.
func TestInterruptedUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	deleted := make(chan blob.Key, 1)
	s := startServer(t, func(c *Config, _ *store.Store) { c.Artifacts = deletionRecorder{c.Artifacts, deleted} })
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/files?name=a", reader)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			err = res.Body.Close()
		}
		ended <- err
	}()
	_, err = io.CopyN(writer, zeroReader{}, 4<<20)
	require.NoError(t, err)
	cancel()
	require.NoError(t, writer.CloseWithError(context.Canceled)) // the client may wait for its read of the body
	require.ErrorIs(t, <-ended, context.Canceled)
	key := <-deleted
	require.EventuallyWithT(t, func(t *assert.CollectT) { require.Zero(t, s.countUploads()) }, 5*time.Second, 10*time.Millisecond)
	_, err = s.config.Artifacts.Get(t.Context(), key, execution.Content{Size: 4 << 20})
	require.ErrorIs(t, err, blob.ErrLost)
	require.Empty(t, call[contract.FileList](s, "GET /files", http.StatusOK, "").Files)
}

// deletionRecorder reports the contents that are deleted.
type deletionRecorder struct {
	Artifacts
	deleted chan<- blob.Key
}

func (r deletionRecorder) DeleteContent(ctx context.Context, key blob.Key) error {
	err := r.Artifacts.DeleteContent(ctx, key)
	r.deleted <- key
	return err
}

// A client that stalls is cut, however fast it was before.
func TestStalledUploadIsCut(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *Config, _ *store.Store) { c.Limits.ClientTimeout = 300 * time.Millisecond })
	reader, writer := io.Pipe()
	defer writer.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/files?name=a", reader)
	require.NoError(t, err)
	go func() { _, _ = io.CopyN(writer, zeroReader{}, 16<<20) }() // and then nothing
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Zero(t, s.countUploads())
}

// One process receives a bounded number of files at the same time, and a tenant has only a part of them.
func TestUploadsAtTheSameTimeAreBounded(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for range maxTenantUploads {
		release, err := s.uploadSlots.acquire(defaultTenant)
		require.NoError(t, err)
		defer release()
	}
	got := s.do(http.MethodPost, "/files?name=a", "x")
	require.Equal(t, http.StatusTooManyRequests, got.StatusCode)
	require.NotEmpty(t, got.Header.Get("Retry-After"))
	require.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/files?name=a", "x", "X-User-Id", "bob").StatusCode)
	require.True(t, s.uploadSlots.all.TryAcquire(maxUploads-maxTenantUploads))
	got = s.do(http.MethodPost, "/files?name=a", "x", "X-User-Id", "bob")
	require.Equal(t, http.StatusServiceUnavailable, got.StatusCode)
}

// fileQuota admits nothing.
type fileQuota struct{ quotatest.Unlimited }

func (fileQuota) AdmitFile(context.Context, string, int64) error {
	return &quota.FileStorageFullError{Files: 3, Bytes: 9, Limits: quota.Limits{Files: 3, FileBytes: 10}}
}

func TestFullFileStorageIsRefused(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *Config, st *store.Store) { c.Submitter = fileQuota{quotatest.Unlimited{Store: st}} })
	got := s.do(http.MethodPost, "/files?name=a", "x")
	require.Equal(t, http.StatusForbidden, got.StatusCode)
	p := decodeProblem(t, got)
	require.Equal(t, contract.ProblemFileStorageFull, p.Code)
	require.Contains(t, p.Detail, "3 files of 9 bytes")
}

// Runs and messages take uploaded files beside those in the request.
func TestRunAndMessageNameFiles(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	uploaded, agent := s.uploadFile("in.csv", "a,b\n"), s.createAgent()
	files := `"files":[{"path":"data/in.csv","fileId":"` + uploaded.Id + `"},{"path":"note","content":"x"}]`
	run := call[contract.AcceptedExecution](s, "POST /agents/"+agent.Id+"/run", http.StatusAccepted, `{"input":"x",`+files+`}`)
	message := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"x",`+files+`}`)
	for _, executionID := range []string{run.ExecutionId, message.ExecutionId} {
		e := call[contract.Execution](s, "GET /executions/"+executionID, http.StatusOK, "")
		require.Equal(t, contract.InputFileInfo{Path: "data/in.csv", FileId: uploaded.Id, Size: 4, Sha256: uploaded.Sha256}, e.InputFiles[0])
		require.Equal(t, "note", e.InputFiles[1].Path)
		stored, err := s.store.InputFiles(t.Context(), execution.Ref{Tenant: defaultTenant, ID: executionID})
		require.NoError(t, err)
		require.Equal(t, []execution.InputFile{{Path: "note", Data: []byte("x")}}, stored)
	}
	shown := call[contract.ConversationDetail](s, "GET /api/conversation/"+message.ConversationId, http.StatusOK, "")
	require.Len(t, shown.Messages[0].Files, 2)
	require.Equal(t, uploaded.Id, shown.Messages[0].Files[0].FileId)
}

// An ID that the tenant cannot use is named in the response, the same for every reason.
func TestUnusableFilesAreNamed(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	agent, mine := s.createAgent(), s.uploadFile("a", "x")
	foreign, deleted := s.uploadFile("a", "x", "X-User-Id", "bob"), s.uploadFile("a", "x")
	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, "/files/"+deleted.Id, "").StatusCode)
	for _, fileID := range []string{foreign.Id, deleted.Id, id.New(id.File), "file_x"} {
		files := `"files":[{"path":"ok","fileId":"` + mine.Id + `"},{"path":"b","fileId":"` + fileID + `"}]}`
		for path, body := range map[string]string{
			"/agents/" + agent.Id + "/run": `{"input":"x",` + files, "/api/conversation": `{"message":"x",` + files,
		} {
			got := s.do(http.MethodPost, path, body)
			require.Equal(t, http.StatusBadRequest, got.StatusCode)
			require.Equal(t, []contract.FieldError{{Field: "files.1.fileId", Detail: noSuchFile}}, decodeProblem(t, got).Errors)
		}
		got := s.do(http.MethodPost, "/agents/"+agent.Id+"/batches", `"x"`+"\n"+`{"input":"x",`+files, "Content-Type", "application/jsonl")
		require.Equal(t, http.StatusBadRequest, got.StatusCode)
		require.Equal(t, []contract.FieldError{{Field: "line 2", Detail: "files.1.fileId " + noSuchFile}}, decodeProblem(t, got).Errors)
	}
	require.Empty(t, call[contract.ExecutionList](s, "GET /executions", http.StatusOK, "").Executions)
}

// countingFiles counts the reads of files.
type countingFiles struct {
	FileStore
	reads int
}

func (c *countingFiles) File(ctx context.Context, tenant, fileID string) (file.File, error) {
	c.reads++
	return c.FileStore.File(ctx, tenant, fileID)
}

// A file that many lines of a batch name is read once, and stored once.
func TestLinesOfBatchNameFile(t *testing.T) {
	t.Parallel()
	counting := new(countingFiles)
	s := startServer(t, func(c *Config, st *store.Store) {
		counting.FileStore = st
		c.Stores.Files = counting
	})
	agent, uploaded := s.createAgent(), s.uploadFile("in.csv", "a,b\n")
	line := `{"input":"x","files":[{"path":"in.csv","fileId":"` + uploaded.Id + `"}]}` + "\n"
	b := call[contract.Batch](s, "POST /agents/"+agent.Id+"/batches", http.StatusAccepted, strings.Repeat(line, 2000), "Content-Type", "application/jsonl")
	require.Equal(t, 2000, b.Total)
	require.Equal(t, 1, counting.reads)
	_, created, err := s.store.DispatchBatch(t.Context(), batchRef(b.Id))
	require.NoError(t, err)
	e := call[contract.Execution](s, "GET /executions/"+created[0].ID, http.StatusOK, "")
	require.Equal(t, []contract.InputFileInfo{{Path: "in.csv", FileId: uploaded.Id, Size: 4, Sha256: uploaded.Sha256}}, e.InputFiles)

	got := s.do(http.MethodPost, "/agents/"+agent.Id+"/batches", `{"input":"x","files":[{"path":"a","content":"b"}]}`, "Content-Type", "application/jsonl")
	require.Equal(t, http.StatusBadRequest, got.StatusCode)
	require.Contains(t, decodeProblem(t, got).Detail, "POST /files")
	require.False(t, bytes.Contains(got.body, []byte("internal")))
}
