package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// folder is a real store of artifacts.
func folder(t testing.TB) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func keeping(a Artifacts) Config {
	c := unhurried()
	c.Artifacts = a
	return c
}

// leaving is an outcome with files, by their paths in the sandbox.
func leaving(o sandbox.Outcome, files ...string) sandbox.Outcome {
	for _, path := range files {
		o.Files = append(o.Files, sandbox.OutFile{
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

func TestALargeResultIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kept := folder(t)
	results := map[string]string{
		"largest": strings.Repeat("x", execution.MaxResult),
		"larger":  strings.Repeat("한", execution.MaxResult/3+1),
	}
	w.run(keeping(kept), newBox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		return answer(results[strings.TrimSpace(string(job.Stdin))]), nil
	}))
	e := w.await(w.submit("offline", "largest"), execution.Succeeded)
	require.Equal(t, results["largest"], e.Result.Text)
	require.Nil(t, e.Result.Whole, "what fits is in the document")

	e = w.await(w.submit("offline", "larger"), execution.Succeeded)
	larger := results["larger"]
	require.Equal(t, larger[:len(e.Result.Text)], e.Result.Text)
	require.InDelta(t, execution.Beginning, len(e.Result.Text), 3, "cut between letters")
	require.JSONEq(t, fmt.Sprintf(`{"text":%q}`, larger), content(t, kept, blob.ResultOf(&e), *e.Result.Whole))
}

func TestALargeReplyIsShortenedInItsConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(keeping(folder(t)), answering(strings.Repeat("x", execution.MaxResult+1)))
	turn := w.say("", "hello", "")
	w.await(turn.Ref(), execution.Succeeded)
	messages, err := w.store.Messages(t.Context(), owner, turn.ConversationID, 0, 10)
	require.NoError(t, err)
	require.True(t, messages[1].Truncated)
	require.Len(t, messages[1].Text, execution.Beginning)
}

// What the job left in its output folder is kept, also when it failed; the
// agent's memory is not among it.
func TestFilesAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kept := folder(t)
	failed := sandbox.Outcome{Ended: sandbox.Exited, ExitCode: 3, LeftOut: 2}
	b := newBox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return leaving(failed, "/home/agent/.memory", sandbox.OutDir+"/a/b.txt", sandbox.OutDir+"/..c"), nil
	})
	w.run(keeping(kept), b)
	e := w.await(w.submit("offline", "x"), execution.Failed)
	require.Len(t, e.Files, 2)
	require.Equal(t, 2, e.LeftOut)
	for i, path := range []string{"a/b.txt", "..c"} {
		require.Equal(t, path, e.Files[i].Path)
		require.Equal(t, "in "+sandbox.OutDir+"/"+path, content(t, kept, blob.FileOf(&e, i), e.Files[i].Content))
	}
}

// The list has to fit the document; what does not is counted.
func TestTooManyLongNamesAreLeftOut(t *testing.T) {
	t.Parallel()
	var o sandbox.Outcome
	for i := range 1000 {
		o = leaving(o, fmt.Sprintf("%s/%03d%s", sandbox.OutDir, i, strings.Repeat("n", 500)))
	}
	files, contents, leftOut := left(o)
	require.Len(t, files, execution.MaxFilePaths/503)
	require.Len(t, contents, len(files))
	require.Equal(t, 1000-len(files), leftOut)
}

// fading is a real store that fails so many times before it works.
type fading struct {
	*blob.Store
	failures atomic.Int64
	tried    chan blob.Key
}

func (f *fading) Put(ctx context.Context, key blob.Key, from io.Reader) (execution.Content, error) {
	f.tried <- key
	if f.failures.Add(-1) >= 0 {
		_, _ = io.CopyN(io.Discard, from, 10) // part of it was sent
		return execution.Content{}, errors.New("the bucket does not answer")
	}
	return f.Store.Put(ctx, key, from)
}

func newFading(t *testing.T, failures int64) *fading {
	f := &fading{Store: folder(t), tried: make(chan blob.Key, 1000)}
	f.failures.Store(failures)
	return f
}

func TestStorageThatComesBackLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kept := newFading(t, 2)
	w.run(keeping(kept), answering(strings.Repeat("x", execution.MaxResult+1)))
	e := w.await(w.submit("offline", "x"), execution.Succeeded)
	require.Equal(t, 1, e.Attempt)
	require.Len(t, kept.tried, 3)
	require.NotEmpty(t, content(t, kept.Store, blob.ResultOf(&e), *e.Result.Whole))
}

// A job whose result waits for storage can be cancelled like one that runs.
func TestCancelWhileStorageIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kept := newFading(t, 1<<40)
	w.run(keeping(kept), answering(strings.Repeat("x", execution.MaxResult+1)))
	ref := w.submit("offline", "x")
	next(t, kept.tried)
	w.cancel(ref, true)
	e := w.await(ref, execution.Canceled)
	require.Nil(t, e.Result)
}

// An attempt that dies between the storing and the finish leaves contents that
// nobody names. The next attempt's are beside them, and all go with the execution.
func TestContentsOfALostAttemptGoWithTheExecution(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	kept, err := blob.Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	defer kept.Close()
	b := newBox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return leaving(answer("done"), sandbox.OutDir+"/a"), nil
	})
	ref := w.submit("offline", "x")
	ch, err := w.store.Apply(t.Context(), ref, execution.Claimed{Executor: "killed", Lease: unhurried().Lease})
	require.NoError(t, err)
	lost := ch.Execution
	_, err = kept.Put(t.Context(), blob.FileOf(&lost, 0), bytes.NewReader([]byte("of the killed one")))
	require.NoError(t, err)

	w.clock.Advance(2 * unhurried().Lease)
	ch, err = w.store.Apply(t.Context(), ref, execution.FellDue{})
	require.NoError(t, err)
	w.run(keeping(kept), b)
	require.NoError(t, w.queue.Tell(t.Context(), ch))
	e := w.await(ref, execution.Succeeded)
	require.Equal(t, "in "+sandbox.OutDir+"/a", content(t, kept, blob.FileOf(&e, 0), e.Files[0].Content))

	require.NoError(t, kept.Delete(t.Context(), ref))
	for _, of := range []*execution.Execution{&lost, &e} {
		_, err := kept.Get(t.Context(), blob.FileOf(of, 0), e.Files[0].Content)
		require.ErrorIs(t, err, blob.ErrLost)
	}
}
