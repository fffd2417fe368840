package janitor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/store"
)

const retention = 24 * time.Hour

// shelf remembers of which executions the files were deleted.
type fakeArtifacts struct {
	mu      sync.Mutex
	deleted map[execution.Ref]bool
	fault   error
}

func (s *fakeArtifacts) Delete(_ context.Context, ref execution.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return s.fault
	}
	s.deleted[ref] = true
	return nil
}

// keeper is a janitor of the world that keeps what has ended for the retention.
func (w *fixture) newPurger(retention time.Duration) (*Janitor, *fakeArtifacts) {
	files := &fakeArtifacts{deleted: map[execution.Ref]bool{}}
	j := New(w.store, w, Retention{Store: w.store, Artifacts: files, Period: retention}, interval, zaptest.NewLogger(w.t))
	j.name = "leader"
	return j, files
}

func (w *fixture) exists(ref execution.Ref) bool {
	w.t.Helper()
	_, err := w.store.Execution(w.t.Context(), ref)
	if notFound := new(store.NotFoundError); errors.As(err, &notFound) {
		return false
	}
	require.NoError(w.t, err)
	return true
}

func (w *fixture) upload(total int) (*store.BatchInputWriter, batch.Batch) {
	w.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.store.CreateAgent(w.t.Context(), &a))
	b := batch.Batch{ID: id.New(id.Batch), Tenant: tenant, AgentID: a.ID, Total: total, Window: 1000}
	inputs := w.store.NewBatchInputWriter(b.Ref())
	for i := range total {
		require.NoError(w.t, inputs.Add(w.t.Context(), batch.Input{Text: fmt.Sprint(i)}))
	}
	require.NoError(w.t, inputs.Flush(w.t.Context()))
	return inputs, b
}

func TestPurgeDeletesFinishedExecutions(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	old, waiting := w.submit(), w.submit()
	w.apply(old, execution.CancelRequested{})
	w.clock.Advance(retention - time.Minute)
	young := w.submit()
	w.apply(young, execution.CancelRequested{})
	j, files := w.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	require.True(t, w.exists(old), "not yet")

	w.clock.Advance(2 * time.Minute)
	forever, _ := w.newPurger(0)
	require.NoError(t, forever.purge(t.Context()))
	require.True(t, w.exists(old), "0 keeps it")

	files.fault = errors.New("the storage is away")
	require.Error(t, j.purge(t.Context()))
	require.True(t, w.exists(old), "its files would be left behind")
	files.fault = nil
	require.NoError(t, j.purge(t.Context()))
	require.False(t, w.exists(old))
	require.Equal(t, map[execution.Ref]bool{old: true}, files.deleted)
	require.True(t, w.exists(young))
	require.True(t, w.exists(waiting), "what has not ended does not expire")
}

// A batch goes whole: its executions are kept until it has ended, and go with it, in pages.
func TestPurgeDeletesWholeBatch(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	const total = purgePageSize + 20
	_, b := w.upload(total)
	require.NoError(t, w.store.SubmitBatch(t.Context(), &b))
	_, dispatched, err := w.store.DispatchBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.Len(t, dispatched.Notify, total)
	for _, ref := range dispatched.Notify {
		w.apply(ref, execution.CancelRequested{})
	}
	w.clock.Advance(retention + time.Minute)
	j, files := w.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	require.Empty(t, files.deleted, "the batch has not ended, and its results are read by its executions")

	ended, _, err := w.store.DispatchBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.NotNil(t, ended.FinishedAt)
	w.clock.Advance(retention + time.Minute)
	more, err := j.purgePage(t.Context())
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, files.deleted, purgePageSize, "a page at a time")
	_, _, err = w.store.Batch(t.Context(), b.Ref())
	require.NoError(t, err, "it is found until all of it has gone")
	require.NoError(t, j.purge(t.Context()))
	require.Len(t, files.deleted, total)
	_, _, err = w.store.Batch(t.Context(), b.Ref())
	var notFound *store.NotFoundError
	require.ErrorAs(t, err, &notFound)
}

func TestPurgeDeletesIdleConversations(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	say := func(conversationID string) execution.Execution {
		ch, err := w.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: tenant, ConversationID: conversationID, Message: "x"})
		require.NoError(t, err)
		return ch.Execution
	}
	idle, continued, pending := say(""), say(""), say("")
	w.apply(idle.Ref(), execution.CancelRequested{})
	w.apply(continued.Ref(), execution.CancelRequested{})
	w.clock.Advance(retention + time.Minute)
	say(continued.ConversationID)
	j, _ := w.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	for e, kept := range map[*execution.Execution]bool{&idle: false, &continued: true, &pending: true} {
		_, err := w.store.Conversation(t.Context(), tenant, e.ConversationID)
		messages, listErr := w.store.Messages(t.Context(), tenant, e.ConversationID, 0, 10)
		require.NoError(t, listErr)
		require.Equal(t, kept, err == nil)
		require.Equal(t, kept, len(messages) > 0)
	}
}

// Inputs whose API was killed before they became a batch are found by their mark.
func TestPurgeDeletesInputsWithoutBatch(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	orphaned, _ := w.upload(300)
	_, b := w.upload(300)
	require.NoError(t, w.store.SubmitBatch(t.Context(), &b))
	dropped, _ := w.upload(10)
	require.NoError(t, dropped.Delete(t.Context()))
	count := func() int {
		t.Helper()
		docs, err := w.firestore.Client.CollectionGroup("inputs").Documents(t.Context()).GetAll()
		require.NoError(t, err)
		return len(docs)
	}
	marks := func() int {
		t.Helper()
		docs, err := w.firestore.Client.CollectionGroup("uploads").Documents(t.Context()).GetAll()
		require.NoError(t, err)
		return len(docs)
	}
	require.Equal(t, 300, orphaned.Len())
	require.Equal(t, 4, count())
	require.Equal(t, 1, marks())
	j, _ := w.newPurger(0)
	require.NoError(t, j.purge(t.Context()))
	require.Equal(t, 4, count(), "it may still be on its way")
	w.clock.Advance(maxUploadDuration + time.Minute)
	require.NoError(t, j.purge(t.Context()))
	require.Equal(t, 2, count(), "those of the batch")
	require.Zero(t, marks())
}

func TestOnlyLeaderPurges(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit()
	w.apply(ref, execution.CancelRequested{})
	w.clock.Advance(retention + time.Minute)
	leads, _, err := w.store.AcquireLeadership(t.Context(), "another", Lease)
	require.NoError(t, err)
	require.True(t, leads)
	j, _ := w.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	require.True(t, w.exists(ref))
	w.clock.Advance(Lease)
	w.run(j)
	w.eventually(func() bool { return !w.exists(ref) })
}

func TestPurgeDeletesFinishedDeliveries(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, w.store.CreateAgent(t.Context(), &a))
	deliver := func(change func(*webhook.Delivery, time.Time) error) webhook.Ref {
		ch, err := w.store.SubmitRun(t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x", Webhook: "https://example.com"})
		require.NoError(t, err)
		w.apply(ch.Execution.Ref(), execution.CancelRequested{})
		ref := webhook.Ref{Tenant: tenant, ID: webhook.DeliveryID(ch.Execution.ID)}
		_, _, err = w.store.UpdateDelivery(t.Context(), ref, change)
		require.NoError(t, err)
		return ref
	}
	delivered := func(d *webhook.Delivery, now time.Time) error {
		return d.RecordResult(0, webhook.AttemptResult{Status: http.StatusOK}, now)
	}
	old, pending, retried := deliver(delivered), deliver((*webhook.Delivery).Claim), deliver(delivered)
	w.clock.Advance(retention + time.Minute)
	young := deliver(delivered)
	_, _, err := w.store.UpdateDelivery(t.Context(), retried, (*webhook.Delivery).Redeliver)
	require.NoError(t, err)
	j, _ := w.newPurger(retention)
	require.NoError(t, j.purge(t.Context()))
	for ref, kept := range map[webhook.Ref]bool{old: false, pending: true, retried: true, young: true} {
		_, err := w.store.Delivery(t.Context(), ref)
		require.Equal(t, kept, err == nil, "%v", err)
	}
}
