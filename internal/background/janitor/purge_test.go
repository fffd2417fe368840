package janitor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/store"
)

const retention = 24 * time.Hour

// fakeArtifacts records the executions whose files were deleted.
type fakeArtifacts struct {
	mu      sync.Mutex
	deleted map[execution.Ref]bool
	bad     map[execution.Ref]bool // cannot be deleted
}

func (s *fakeArtifacts) Delete(_ context.Context, ref execution.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad[ref] {
		return errors.New("on purpose")
	}
	s.deleted[ref] = true
	return nil
}

func (s *fakeArtifacts) DeleteTranscript(ctx context.Context, ref execution.Ref) error {
	return s.Delete(ctx, ref)
}

// newPurger returns a janitor that deletes data after the retention.
func (f *fixture) newPurger(retention time.Duration) (*Janitor, *fakeArtifacts) {
	files := &fakeArtifacts{deleted: map[execution.Ref]bool{}}
	j := f.newJanitor(f.store, Retention{Store: f.store, Artifacts: files, Period: retention})
	return j, files
}

func (f *fixture) exists(ref execution.Ref) bool {
	f.t.Helper()
	_, err := f.store.Execution(f.t.Context(), ref)
	if notFound := new(store.NotFoundError); errors.As(err, &notFound) {
		return false
	}
	require.NoError(f.t, err)
	return true
}

func (f *fixture) upload(total int) (*store.BatchInputWriter, batch.Batch) {
	f.t.Helper()
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(f.t, f.store.CreateAgent(f.t.Context(), &a, nil))
	b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: a.ID, Total: total}
	inputs := f.store.NewBatchInputWriter(b.Ref())
	for i := range total {
		require.NoError(f.t, inputs.Add(f.t.Context(), batch.Input{Text: fmt.Sprint(i)}))
	}
	require.NoError(f.t, inputs.Flush(f.t.Context()))
	return inputs, b
}

func TestPurgeDeletesFinishedExecutions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old, waiting := f.submit(), f.submit()
	f.apply(old, execution.CancelRequested{})
	f.clock.Advance(retention - time.Minute)
	young := f.submit()
	f.apply(young, execution.CancelRequested{})
	j, files := f.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	require.True(t, f.exists(old), "its retention has not ended")

	f.clock.Advance(2 * time.Minute)
	keeper, _ := f.newPurger(0)
	require.NoError(t, keeper.purge(t.Context()))
	require.True(t, f.exists(old), "a retention of 0 keeps data for ever")

	files.bad = map[execution.Ref]bool{old: true}
	require.NoError(t, j.purge(t.Context()))
	require.True(t, f.exists(old), "an execution is deleted after its files")
	files.bad = nil
	f.eventually(func() bool { // after the back-off of the execution
		require.NoError(t, j.purge(t.Context()))
		return !f.exists(old)
	})
	require.Equal(t, map[execution.Ref]bool{old: true}, files.deleted)
	require.True(t, f.exists(young))
	require.True(t, f.exists(waiting), "an execution that has not ended is not deleted")
}

// The executions of a batch are kept until the batch has finished, and are deleted with it, in pages.
func TestPurgeDeletesWholeBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const total = purgePageSize + 20
	_, b := f.upload(total)
	require.NoError(t, f.store.SubmitBatch(t.Context(), &b, nil))
	_, dispatched, err := f.store.DispatchBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.Len(t, dispatched, total)
	for _, ref := range dispatched {
		f.apply(ref, execution.CancelRequested{})
	}
	f.clock.Advance(retention + time.Minute)
	j, files := f.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	require.Empty(t, files.deleted, "the batch has not finished, and its results are in its executions")

	finished, _, err := f.store.DispatchBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.NotNil(t, finished.FinishedAt)
	f.clock.Advance(retention + time.Minute)
	files.bad = map[execution.Ref]bool{dispatched[0]: true}
	require.NoError(t, j.purge(t.Context()))
	require.Len(t, files.deleted, total-1, "an execution that cannot be deleted does not keep the others")
	_, _, err = f.store.Batch(t.Context(), b.Ref())
	require.NoError(t, err, "the batch exists until its executions are deleted")
	files.bad = nil
	var notFound *store.NotFoundError
	f.eventually(func() bool { // after the back-off of the batch
		require.NoError(t, j.purge(t.Context()))
		_, _, err = f.store.Batch(t.Context(), b.Ref())
		return errors.As(err, &notFound)
	})
	require.Len(t, files.deleted, total)
}

func TestPurgeDeletesIdleConversations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	submitTurn := func(conversationID string) execution.Execution {
		ch, err := f.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, ConversationID: conversationID, Message: "x"})
		require.NoError(t, err)
		return ch.Execution
	}
	idle, continued, pending := submitTurn(""), submitTurn(""), submitTurn("")
	f.apply(idle.Ref(), execution.CancelRequested{})
	f.apply(continued.Ref(), execution.CancelRequested{})
	f.clock.Advance(retention + time.Minute)
	submitTurn(continued.ConversationID)
	j, _ := f.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	for e, kept := range map[*execution.Execution]bool{&idle: false, &continued: true, &pending: true} {
		_, err := f.store.Conversation(t.Context(), ada, e.ConversationID)
		messages, listErr := f.store.Messages(t.Context(), ada, e.ConversationID, 0, 10)
		require.NoError(t, listErr)
		require.Equal(t, kept, err == nil)
		require.Equal(t, kept, len(messages) > 0)
	}
}

// An API was killed after it had stored inputs and before it stored the batch. The document of the upload names the
// inputs.
func TestPurgeDeletesInputsWithoutBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	orphaned, _ := f.upload(300)
	_, b := f.upload(300)
	require.NoError(t, f.store.SubmitBatch(t.Context(), &b, nil))
	dropped, _ := f.upload(10)
	require.NoError(t, dropped.Delete(t.Context()))
	inputs := func() int {
		t.Helper()
		docs, err := f.firestore.Client.CollectionGroup("inputs").Documents(t.Context()).GetAll()
		require.NoError(t, err)
		return len(docs)
	}
	uploads := func() int {
		t.Helper()
		docs, err := f.firestore.Client.CollectionGroup("uploads").Documents(t.Context()).GetAll()
		require.NoError(t, err)
		return len(docs)
	}
	require.Equal(t, 300, orphaned.Len())
	require.Equal(t, 4, inputs())
	require.Equal(t, 1, uploads())
	j, _ := f.newPurger(0)
	require.NoError(t, j.purge(t.Context()))
	require.Equal(t, 4, inputs(), "the upload may still be in progress")
	f.clock.Advance(maxUploadDuration + time.Minute)
	require.NoError(t, j.purge(t.Context()))
	require.Equal(t, 2, inputs(), "the inputs of the batch stay")
	require.Zero(t, uploads())
}

func TestPurgeDeletesFinishedDeliveries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, f.store.CreateAgent(t.Context(), &a, nil))
	createDelivery := func(change func(*webhook.Delivery, time.Time) error) webhook.Ref {
		ch, err := f.store.SubmitRun(t.Context(), store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x", Webhook: "https://example.com"})
		require.NoError(t, err)
		f.apply(ch.Execution.Ref(), execution.CancelRequested{})
		ref := webhook.Ref{Tenant: ada, ID: webhook.DeliveryID(ch.Execution.ID)}
		_, _, err = f.store.UpdateDelivery(t.Context(), ref, change)
		require.NoError(t, err)
		return ref
	}
	delivered := func(d *webhook.Delivery, now time.Time) error {
		return d.RecordResult(0, webhook.AttemptResult{Status: http.StatusOK}, now)
	}
	old, pending, retried := createDelivery(delivered), createDelivery((*webhook.Delivery).Claim), createDelivery(delivered)
	f.clock.Advance(retention + time.Minute)
	young := createDelivery(delivered)
	_, _, err := f.store.UpdateDelivery(t.Context(), retried, (*webhook.Delivery).Retry)
	require.NoError(t, err)
	j, _ := f.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	for ref, kept := range map[webhook.Ref]bool{old: false, pending: true, retried: true, young: true} {
		_, err := f.store.Delivery(t.Context(), ref)
		require.Equal(t, kept, err == nil, "%v", err)
	}
}

// More executions than a page has cannot be deleted. They hide neither the ones behind them nor other kinds of
// resources.
func TestFilesThatCannotBeDeletedDoNotStopPurge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	j, files := f.newPurger(retention)
	files.bad = map[execution.Ref]bool{}
	for range purgePageSize + 1 {
		ref := f.submit()
		f.apply(ref, execution.CancelRequested{})
		files.bad[ref] = true
	}
	good := f.submit()
	f.apply(good, execution.CancelRequested{})
	turn, err := f.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, Message: "x"})
	require.NoError(t, err)
	f.apply(turn.Execution.Ref(), execution.CancelRequested{})
	f.clock.Advance(retention + time.Minute)
	require.NoError(t, j.purge(t.Context()))
	require.False(t, f.exists(good))
	require.False(t, f.exists(turn.Execution.Ref()))
	_, err = f.store.Conversation(t.Context(), ada, turn.Execution.ConversationID)
	var notFound *store.NotFoundError
	require.ErrorAs(t, err, &notFound)
	for ref := range files.bad {
		require.True(t, f.exists(ref), "an execution is deleted after its files")
	}
}

// A transcript is deleted when its own time has come, without the other contents of its execution. A janitor that was
// killed in between is followed by one that deletes the rest.
func TestPurgeDeletesExpiredTranscripts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	dir := t.TempDir()
	blobs, err := blob.Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, blobs.Close()) })
	const parts = 20
	finish := func(retention time.Duration) execution.Execution {
		ref := f.submit()
		f.apply(ref, execution.Claimed{Executor: "x1", Session: session, TranscriptBound: &retention})
		e, err := f.store.Execution(t.Context(), ref)
		require.NoError(t, err)
		for i := range parts {
			p := blob.TranscriptPart{Attempt: 1, Number: i + 1, Offset: int64(i), Size: 1}
			require.NoError(t, blobs.PutTranscriptPart(t.Context(), ref, p, []byte("x")))
		}
		put := func(key blob.Key) execution.Content {
			content, err := blobs.Put(t.Context(), key, strings.NewReader(key.String()))
			require.NoError(t, err)
			return content
		}
		workspace := &execution.Workspace{ExecutionID: e.ID, Attempt: 1}
		workspace.Content = put(blob.WorkspaceKey(ada, workspace))
		f.apply(ref, execution.JobEnded{Session: session, Attempt: 1, Ending: execution.Ending{
			Status: execution.Succeeded, Result: &execution.Result{Text: "done"}, Workspace: workspace,
			Files: []execution.File{{Path: "a", Content: put(blob.FileKey(&e, 0))}},
		}})
		e, err = f.store.Execution(t.Context(), ref)
		require.NoError(t, err)
		return e
	}
	size := func(e execution.Execution) int64 {
		r, err := blobs.Transcript(t.Context(), e.Ref())
		require.NoError(t, err)
		return r.Size()
	}
	old, young, bad := finish(time.Hour), finish(2*time.Hour), finish(time.Hour)
	interrupted := &interruptedDeletes{Store: blobs, dir: dir, bad: bad.Ref()}
	j := f.newJanitor(f.store, Retention{Store: f.store, Artifacts: interrupted})
	require.NoError(t, j.purge(t.Context()))
	require.EqualValues(t, parts, size(old), "its retention has not ended")

	f.clock.Advance(time.Hour + time.Minute)
	require.NoError(t, j.purge(t.Context()))
	require.Zero(t, size(old))
	require.EqualValues(t, parts, size(young))
	require.Less(t, size(bad), int64(parts), "a part of it is deleted")
	e, err := f.store.Execution(t.Context(), bad.Ref())
	require.NoError(t, err)
	require.Nil(t, e.TranscriptDeletedAt)

	successor := f.newJanitor(f.store, Retention{Store: f.store, Artifacts: blobs})
	require.NoError(t, successor.purge(t.Context()))
	require.Zero(t, size(bad))
	for _, e := range []execution.Execution{old, bad} {
		stored, err := f.store.Execution(t.Context(), e.Ref())
		require.NoError(t, err)
		require.NotNil(t, stored.TranscriptDeletedAt)
		for key, content := range map[blob.Key]execution.Content{
			blob.FileKey(&e, 0): e.Files[0].Content, blob.WorkspaceKey(ada, e.Workspace): e.Workspace.Content,
		} {
			r, err := blobs.Get(t.Context(), key, content)
			require.NoError(t, err, "the other contents stay")
			require.NoError(t, r.Close())
		}
	}
}

// interruptedDeletes deletes only the newest part of the transcript of an execution.
type interruptedDeletes struct {
	*blob.Store
	dir string
	bad execution.Ref
}

func (s *interruptedDeletes) DeleteTranscript(ctx context.Context, ref execution.Ref) error {
	if ref != s.bad {
		return s.Store.DeleteTranscript(ctx, ref)
	}
	parts, err := filepath.Glob(filepath.Join(s.dir, ref.Tenant, ref.ID, "1", "transcript-*.zst"))
	if err == nil {
		err = os.Remove(parts[len(parts)-1])
	}
	return errors.Join(err, errors.New("the janitor is killed"))
}

// Documents that cannot be decoded are deleted like others: only their names are read.
func TestPurgeDeletesDocumentsThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit()
	f.apply(ref, execution.CancelRequested{})
	f.spoil(ref)
	f.clock.Advance(retention + time.Minute)
	j, _ := f.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	require.False(t, f.exists(ref))
}
