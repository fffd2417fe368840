package client_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Output files are read by the paths that the execution lists, whatever characters these contain.
func TestFilesAndCompleteResults(t *testing.T) {
	a := startTestServer(t)
	ctx := t.Context()
	agent, err := a.CreateAgent(ctx, counterAgent)
	require.NoError(t, err)
	run, err := a.Run(ctx, agent.Id, client.RunAgent{Input: "x"})
	require.NoError(t, err)
	ref := execution.Ref{Tenant: "local", ID: run.ExecutionId}
	claimed, err := a.store.Apply(ctx, ref, execution.Claimed{Executor: "x"})
	require.NoError(t, err)
	put := func(key blob.Key, text string) execution.Content {
		c, err := a.blobs.Put(ctx, key, strings.NewReader(text))
		require.NoError(t, err)
		return c
	}
	long := strings.Repeat("long ", 1<<18)
	encoded, err := json.Marshal(map[string]string{"text": long})
	require.NoError(t, err)
	complete := put(blob.ResultKey(&claimed.Execution), string(encoded))
	paths := []string{"100 %/a b?c#d.txt", "plain.txt"}
	files := make([]execution.File, len(paths))
	for i, path := range paths {
		files[i] = execution.File{Path: path, Content: put(blob.FileKey(&claimed.Execution, i), "in "+path)}
	}
	_, err = a.store.Apply(ctx, ref, execution.JobEnded{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: (&execution.Result{Text: long}).Truncate(complete), Files: files,
	}})
	require.NoError(t, err)

	shown, err := a.Execution(ctx, run.ExecutionId)
	require.NoError(t, err)
	require.True(t, shown.Result.Truncated)
	result, err := a.Result(ctx, run.ExecutionId)
	require.NoError(t, err)
	require.Equal(t, long, result.Text)
	require.Len(t, shown.Files, len(paths))
	for _, f := range shown.Files {
		content, err := a.File(ctx, run.ExecutionId, f.Path)
		require.NoError(t, err)
		text, err := io.ReadAll(content)
		require.NoError(t, err)
		require.NoError(t, content.Close())
		require.Equal(t, "in "+f.Path, string(text))
	}
	_, err = a.File(ctx, run.ExecutionId, "none")
	require.True(t, client.IsNotFound(err))
}

// An uploaded file is read back, named by a run, and deleted. A request with a file that can be read again is repeated.
func TestUploadedFiles(t *testing.T) {
	a := startTestServer(t)
	ctx := t.Context()
	local := filepath.Join(t.TempDir(), "a")
	require.NoError(t, os.WriteFile(local, []byte("content"), 0o600))
	f, err := os.Open(local)
	require.NoError(t, err)
	defer f.Close()
	uploaded, err := a.UploadFile(ctx, "a b?c#d.txt", f)
	require.NoError(t, err)
	require.Equal(t, "a b?c#d.txt", uploaded.Name)
	require.EqualValues(t, 7, uploaded.Size)
	empty, err := a.UploadFile(ctx, "empty", bytes.NewReader(nil))
	require.NoError(t, err)
	require.Zero(t, empty.Size)
	got, err := a.UploadedFile(ctx, uploaded.Id)
	require.NoError(t, err)
	require.Equal(t, uploaded, got)
	content, err := a.FileContent(ctx, uploaded.Id)
	require.NoError(t, err)
	text, err := io.ReadAll(content)
	require.NoError(t, err)
	require.NoError(t, content.Close())
	require.Equal(t, "content", string(text))

	agent, err := a.CreateAgent(ctx, counterAgent)
	require.NoError(t, err)
	run, err := a.Run(ctx, agent.Id, client.RunAgent{Input: "x", Files: []client.InputFile{
		client.FileByID("in", uploaded.Id), client.FileWithContent("bytes", []byte{0, 255}), client.FileWithContent("none", nil),
	}})
	require.NoError(t, err)
	e, err := a.Execution(ctx, run.ExecutionId)
	require.NoError(t, err)
	require.Equal(t, uploaded.Id, e.InputFiles[0].FileId)
	require.EqualValues(t, 2, e.InputFiles[1].Size)
	require.Zero(t, e.InputFiles[2].Size)

	require.NoError(t, a.DeleteFile(ctx, uploaded.Id))
	_, err = a.FileContent(ctx, uploaded.Id)
	require.True(t, client.IsNotFound(err))
	for listed, err := range a.Files(ctx) {
		require.NoError(t, err)
		require.Equal(t, empty, listed)
	}
}

// The server is busy two times. What can be read again is sent again, as a whole; a plain stream is not.
func TestUploadIsRepeated(t *testing.T) {
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the test checks it
		if tries++; tries < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(client.File{Id: "file_1", Size: int64(len(body))})
	}))
	defer server.Close()
	a, err := client.New(server.URL)
	require.NoError(t, err)
	reader := strings.NewReader("skipped content")
	_, err = reader.Seek(8, io.SeekStart)
	require.NoError(t, err)
	uploaded, err := a.UploadFile(t.Context(), "a", reader)
	require.NoError(t, err)
	require.EqualValues(t, len("content"), uploaded.Size)
	tries = 0
	_, err = a.UploadFile(t.Context(), "a", io.MultiReader(strings.NewReader("content")))
	require.Error(t, err)
	require.Equal(t, 1, tries)
}
