package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// openArtifactStore opens a real artifact store in a folder.
func openArtifactStore(t testing.TB) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func configWithArtifacts(a ArtifactStore) Config {
	c := testConfig()
	c.Artifacts = a
	return c
}

// withOutputFiles adds files to an outcome, by their paths in the sandbox.
func withOutputFiles(o sandbox.Outcome, files ...string) sandbox.Outcome {
	for _, path := range files {
		o.Files = append(o.Files, sandbox.OutputFile{
			Path: path, Mode: 0o644, Content: io.NewSectionReader(strings.NewReader("in "+path), 0, int64(len("in "+path))),
		})
	}
	return o
}

func content(t *testing.T, s *blob.Store, key blob.Key, c execution.Content) string {
	t.Helper()
	r, err := s.Get(t.Context(), key, c)
	require.NoError(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(data)
}

func TestLargeResultIsStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	results := map[string]string{
		"largest": strings.Repeat("x", execution.MaxResultBytes),
		"larger":  strings.Repeat("한", execution.MaxResultBytes/3+1),
	}
	f.run(configWithArtifacts(blobs), newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		return successOutcome(results[promptOf(job)]), nil
	}))
	e := f.await(f.submit("offline", "largest"), execution.Succeeded)
	require.Equal(t, results["largest"], e.Result.Text)
	require.Nil(t, e.Result.Complete, "a result that fits is in the document")

	e = f.await(f.submit("offline", "larger"), execution.Succeeded)
	larger := results["larger"]
	require.Equal(t, larger[:len(e.Result.Text)], e.Result.Text)
	require.InDelta(t, execution.ExcerptBytes, len(e.Result.Text), 3, "truncated between two letters")
	require.JSONEq(t, fmt.Sprintf(`{"text":%q}`, larger), content(t, blobs, blob.ResultKey(&e), *e.Result.Complete))
}

func TestLargeReplyIsTruncatedInConversation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.run(configWithArtifacts(openArtifactStore(t)), answeringSandbox(strings.Repeat("x", execution.MaxResultBytes+1)))
	turn := f.submitTurn("", "hello", "")
	f.await(turn.Ref(), execution.Succeeded)
	messages, err := f.store.Messages(t.Context(), tenant, turn.ConversationID, 0, 10)
	require.NoError(t, err)
	require.True(t, messages[1].Truncated)
	require.Len(t, messages[1].Text, execution.ExcerptBytes)
}

// The files in the output folder are stored, also when the job failed. The session files of the agent are not.
func TestOutputFilesAreStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	failed := sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 3, OmittedFileCount: 2}
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return withOutputFiles(failed, "/home/agent/.memory", sandbox.OutputDir+"/a/b.txt", sandbox.OutputDir+"/..c"), nil
	})
	f.run(configWithArtifacts(blobs), b)
	e := f.await(f.submit("offline", "x"), execution.Failed)
	require.Len(t, e.Files, 2)
	require.Equal(t, 2, e.OmittedFileCount)
	for i, path := range []string{"a/b.txt", "..c"} {
		require.Equal(t, path, e.Files[i].Path)
		require.Equal(t, "in "+sandbox.OutputDir+"/"+path, content(t, blobs, blob.FileKey(&e, i), e.Files[i].Content))
	}
}

// The list of files must fit into the document. Files beyond that are counted.
func TestOutputFilesOverPathLimitAreOmitted(t *testing.T) {
	t.Parallel()
	var o sandbox.Outcome
	for i := range 1000 {
		o = withOutputFiles(o, fmt.Sprintf("%s/%03d%s", sandbox.OutputDir, i, strings.Repeat("n", 500)))
	}
	files, contents, omitted := outputFiles(o)
	require.Len(t, files, execution.MaxFilePathsBytes/503)
	require.Len(t, contents, len(files))
	require.Equal(t, 1000-len(files), omitted)
}

// flakyArtifactStore is a real store whose first calls fail, as many as failures says.
type flakyArtifactStore struct {
	*blob.Store
	failures  atomic.Int64
	attempted chan blob.Key
}

func (s *flakyArtifactStore) Put(ctx context.Context, key blob.Key, from io.Reader) (execution.Content, error) {
	s.attempted <- key
	if s.failures.Add(-1) >= 0 {
		_, _ = io.CopyN(io.Discard, from, 10) // a part of the content was sent
		return execution.Content{}, errors.New("the bucket is unavailable")
	}
	return s.Store.Put(ctx, key, from)
}

func newFlakyArtifactStore(t *testing.T, failures int64) *flakyArtifactStore {
	s := &flakyArtifactStore{Store: openArtifactStore(t), attempted: make(chan blob.Key, 1000)}
	s.failures.Store(failures)
	return s
}

func TestStoreArtifactsRetriesAfterOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := newFlakyArtifactStore(t, 2)
	f.run(configWithArtifacts(blobs), answeringSandbox(strings.Repeat("x", execution.MaxResultBytes+1)))
	e := f.await(f.submit("offline", "x"), execution.Succeeded)
	require.Equal(t, 1, e.Attempt)
	require.Len(t, blobs.attempted, 3)
	require.NotEmpty(t, content(t, blobs.Store, blob.ResultKey(&e), *e.Result.Complete))
}

// An execution can be canceled while its result waits for blob storage.
func TestCancelDuringBlobStorageOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := newFlakyArtifactStore(t, 1<<40)
	f.run(configWithArtifacts(blobs), answeringSandbox(strings.Repeat("x", execution.MaxResultBytes+1)))
	ref := f.submit("offline", "x")
	next(t, blobs.attempted)
	f.cancel(ref, true)
	e := f.await(ref, execution.Canceled)
	require.Nil(t, e.Result)
}

// An attempt that dies after it has stored its artifacts and before it has finished leaves contents without a name. The
// contents of the next attempt have other keys, and all of them are deleted with the execution.
func TestArtifactsOfLostAttemptAreDeletedWithExecution(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	dir := t.TempDir()
	blobs, err := blob.Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	defer blobs.Close()
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return withOutputFiles(successOutcome("done"), sandbox.OutputDir+"/a"), nil
	})
	ref := f.submit("offline", "x")
	ch, err := f.store.Apply(t.Context(), ref, execution.Claimed{Executor: "killed"})
	require.NoError(t, err)
	lost := ch.Execution
	_, err = blobs.Put(t.Context(), blob.FileKey(&lost, 0), bytes.NewReader([]byte("from the killed attempt")))
	require.NoError(t, err)
	lostSession := &execution.AgentSession{ExecutionID: lost.ID, Attempt: lost.Attempt}
	lostSession.Content, err = blobs.Put(t.Context(), blob.SessionKey(tenant, lostSession), strings.NewReader("of the killed attempt"))
	require.NoError(t, err)

	ch, err = f.store.Apply(t.Context(), ref, execution.LeaseExpired{})
	require.NoError(t, err)
	f.run(configWithArtifacts(blobs), b)
	require.NoError(t, f.queue.Publish(t.Context(), ch))
	e := f.await(ref, execution.Succeeded)
	require.Equal(t, "in "+sandbox.OutputDir+"/a", content(t, blobs, blob.FileKey(&e, 0), e.Files[0].Content))

	require.NoError(t, blobs.Delete(t.Context(), ref))
	for _, of := range []*execution.Execution{&lost, &e} {
		_, err := blobs.Get(t.Context(), blob.FileKey(of, 0), e.Files[0].Content)
		require.ErrorIs(t, err, blob.ErrLost)
	}
	_, err = blobs.Get(t.Context(), blob.SessionKey(tenant, lostSession), lostSession.Content)
	require.ErrorIs(t, err, blob.ErrLost)
}

// The API sends the stored bytes unchanged, so they must match the contract.
func TestEncodedResultMatchesContract(t *testing.T) {
	t.Parallel()
	schema := contract.Operations()["GET /executions/{id}/result"].Responses[http.StatusOK]["application/json"]
	require.NotNil(t, schema)
	draft := &agent.Draft{Name: "N", Instructions: "I", Model: "m"}
	for want, r := range map[string]execution.Result{
		`{"text":"hi"}`:                         {Text: "hi"},
		`{"text":"<a&b> \u2028 세상"}`:            {Text: "<a&b> \u2028 세상"},
		`{"text":"{\"a\":1}","output":{"a":1}}`: {Text: `{"a":1}`, Output: `{"a":1}`},
		`{"text":"","agentDraft":{"name":"N","instructions":"I","model":"m"}}`: {AgentDraft: draft},
	} {
		got, err := encodeResult(&r)
		require.NoError(t, err)
		require.JSONEq(t, want, string(got))
		var read any
		require.NoError(t, json.Unmarshal(got, &read))
		require.NoError(t, schema.Validate(read))
	}
}

// A canceled job leaves what its agent had said and written. That is uploaded although the cancellation has arrived.
func TestCanceledJobKeepsItsWork(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	started := make(chan struct{})
	f.run(configWithArtifacts(blobs), newFakeSandbox(func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		for _, text := range []string{"I read the file.", "I write the report."} {
			job.OnStdout(fmt.Appendf(nil, `{"type":"assistant","message":{"content":[{"type":"text","text":%q}]}}`+"\n", text))
		}
		close(started)
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), sandbox.ErrStop)
		return withOutputFiles(sandbox.Outcome{EndReason: sandbox.Stopped, ExitCode: 143}, "/workspace/out/report.md"), nil
	}))
	ref := f.submit("offline", "x")
	next(t, started)
	f.cancel(ref, true)
	e := f.await(ref, execution.Canceled)
	require.Equal(t, execution.CodeCanceled, e.Failure.Code)
	require.Equal(t, "I read the file.\nI write the report.", e.PartialText)
	require.Len(t, e.Files, 1)
	require.Equal(t, "in /workspace/out/report.md", content(t, blobs, blob.FileKey(&e, 0), e.Files[0].Content))
	require.Contains(t, e.Receipt, "filesSha256")
}
