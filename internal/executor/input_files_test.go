package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/file"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// upload stores a file as the API does.
func (f *fixture) upload(blobs *blob.Store, content io.Reader) file.File {
	f.t.Helper()
	uploaded := file.File{ID: id.New(id.File), Tenant: tenant, Name: "in"}
	require.NoError(f.t, f.store.BeginFile(f.t.Context(), tenant, uploaded.ID))
	var err error
	uploaded.Content, err = blobs.Put(f.t.Context(), blob.UploadKey(tenant, uploaded.ID), content)
	require.NoError(f.t, err)
	require.NoError(f.t, f.store.CreateFile(f.t.Context(), &uploaded, 0, nil))
	return uploaded
}

func (f *fixture) submitWithFiles(inputFiles ...execution.InputFile) execution.Ref {
	f.t.Helper()
	ch := f.storeRequest("offline", store.RunRequest{Input: "x", InputFiles: inputFiles})
	require.NoError(f.t, f.queue.Publish(f.t.Context(), ch))
	return ch.Execution.Ref()
}

// readingSandbox is a sandbox whose jobs read their input files. It returns their hashes, by path.
func readingSandbox(t *testing.T) (b *fakeSandbox, sums func() map[string][]byte) {
	t.Helper()
	var mu sync.Mutex
	found := map[string][]byte{}
	read := func(path string, content io.Reader) {
		h := sha256.New()
		_, err := io.Copy(h, content)
		require.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		found[path] = h.Sum(nil)
	}
	return newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		for _, f := range job.Streamed {
			read(f.Path, f.Content)
		}
		for _, f := range job.Files {
			read(f.Path, bytes.NewReader(f.Data))
		}
		return successOutcome("done"), nil
	}), func() map[string][]byte { return found }
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A file that was deleted after a run was accepted still reaches the job, and those of its retries. It is never in the
// memory of the executor as a whole.
func TestUploadedFileReachesJob(t *testing.T) { // alone, because it measures memory
	f := newFixture(t)
	blobs := openArtifactStore(t)
	large := f.upload(blobs, io.LimitReader(zeros{}, file.MaxBytes))
	ref := f.submitWithFiles(
		execution.InputFile{Path: "data/large", FileID: large.ID}, execution.InputFile{Path: "note", Data: []byte("inline")},
		execution.InputFile{Path: "data/again", FileID: large.ID},
	)
	require.NoError(t, f.store.DeleteFile(t.Context(), tenant, large.ID))
	b, sums := readingSandbox(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f.run(configWithArtifacts(blobs), b)
	f.await(ref, execution.Succeeded)
	runtime.ReadMemStats(&after)
	inline := sha256.Sum256([]byte("inline"))
	got := sums()
	require.Equal(t, large.Content.SHA256, got["/workspace/data/large"])
	require.Equal(t, large.Content.SHA256, got["/workspace/data/again"])
	require.Equal(t, inline[:], got["/workspace/note"])
	require.Less(t, after.HeapSys-min(before.HeapSys, after.HeapSys), uint64(64<<20))
}

// Without the content of a file, an execution fails for good, and says which file it is.
func TestLostFileFailsExecution(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	lost := f.upload(blobs, bytes.NewReader([]byte("x")))
	require.NoError(t, blobs.DeleteContent(t.Context(), blob.UploadKey(tenant, lost.ID)))
	b, _ := readingSandbox(t)
	f.run(configWithArtifacts(blobs), b)
	e := f.await(f.submitWithFiles(execution.InputFile{Path: "data/in.csv", FileID: lost.ID}), execution.Failed)
	require.Equal(t, execution.CodeInvalidTask, e.Failure.Code)
	require.Equal(t, "The content of the file "+lost.ID+" (data/in.csv) is lost. Upload it again.", e.Failure.Message)
	require.Equal(t, 1, e.Attempt)
}

// Turns of a conversation take files as runs do, and a retry of a canceled one has them too.
func TestMessageWithFilesReachesJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	uploaded := f.upload(blobs, bytes.NewReader([]byte("content")))
	ch, err := f.store.SubmitTurn(t.Context(), store.TurnRequest{
		Tenant: tenant, Message: "x", Builder: execution.Task{Runtime: "offline"},
		InputFiles: []execution.InputFile{{Path: "in", FileID: uploaded.ID}, {Path: "note", Data: []byte("inline")}},
	})
	require.NoError(t, err)
	_, err = f.store.Apply(t.Context(), ch.Execution.Ref(), execution.CancelRequested{})
	require.NoError(t, err)
	require.NoError(t, f.store.DeleteFile(t.Context(), tenant, uploaded.ID))
	retry, err := f.store.Retry(t.Context(), ch.Execution.Ref(), nil, nil)
	require.NoError(t, err)
	b, sums := readingSandbox(t)
	f.run(configWithArtifacts(blobs), b)
	require.NoError(t, f.queue.Publish(t.Context(), retry))
	f.await(retry.Execution.Ref(), execution.Succeeded)
	require.Equal(t, uploaded.Content.SHA256, sums()["/workspace/in"])
	require.Contains(t, sums(), "/workspace/note")
}
