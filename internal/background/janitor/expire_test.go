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
type shelf struct {
	mu    sync.Mutex
	gone  map[execution.Ref]bool
	fault error
}

func (s *shelf) Delete(_ context.Context, ref execution.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return s.fault
	}
	s.gone[ref] = true
	return nil
}

// keeper is a janitor of the world that keeps what has ended for the retention.
func (w *world) keeper(retention time.Duration) (*Janitor, *shelf) {
	files := &shelf{gone: map[execution.Ref]bool{}}
	j := New(w.store, w, Expiry{Archive: w.store, Files: files, Retention: retention}, interval, zaptest.NewLogger(w.t))
	j.name = "leader"
	return j, files
}

func (w *world) exists(ref execution.Ref) bool {
	w.t.Helper()
	_, err := w.store.Execution(w.t.Context(), ref)
	if notFound := new(store.NotFoundError); errors.As(err, &notFound) {
		return false
	}
	require.NoError(w.t, err)
	return true
}

func (w *world) upload(total int) (*store.Inputs, batch.Batch) {
	w.t.Helper()
	a := agent.Agent{Owner: owner, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.store.CreateAgent(w.t.Context(), &a))
	b := batch.Batch{ID: id.New(id.Batch), Owner: owner, AgentID: a.ID, Total: total, Window: 1000}
	inputs := w.store.NewInputs(b.Ref())
	for i := range total {
		require.NoError(w.t, inputs.Add(w.t.Context(), batch.Input{Text: fmt.Sprint(i)}))
	}
	require.NoError(w.t, inputs.Flush(w.t.Context()))
	return inputs, b
}

func TestWhatHasEndedLongAgoIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, waiting := w.submit(), w.submit()
	w.apply(old, execution.CancelAsked{})
	w.clock.Advance(retention - time.Minute)
	young := w.submit()
	w.apply(young, execution.CancelAsked{})
	j, files := w.keeper(retention)
	require.NoError(t, j.expire(t.Context()))
	require.True(t, w.exists(old), "not yet")

	w.clock.Advance(2 * time.Minute)
	forever, _ := w.keeper(0)
	require.NoError(t, forever.expire(t.Context()))
	require.True(t, w.exists(old), "0 keeps it")

	files.fault = errors.New("the storage is away")
	require.Error(t, j.expire(t.Context()))
	require.True(t, w.exists(old), "its files would be left behind")
	files.fault = nil
	require.NoError(t, j.expire(t.Context()))
	require.False(t, w.exists(old))
	require.Equal(t, map[execution.Ref]bool{old: true}, files.gone)
	require.True(t, w.exists(young))
	require.True(t, w.exists(waiting), "what has not ended does not expire")
}

// A batch goes whole: its executions are kept until it has ended, and go with it, in pages.
func TestABatchExpiresWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const total = page + 20
	_, b := w.upload(total)
	require.NoError(t, w.store.SubmitBatch(t.Context(), &b))
	_, fed, err := w.store.FeedBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.Len(t, fed.Announce, total)
	for _, ref := range fed.Announce {
		w.apply(ref, execution.CancelAsked{})
	}
	w.clock.Advance(retention + time.Minute)
	j, files := w.keeper(retention)
	require.NoError(t, j.expire(t.Context()))
	require.Empty(t, files.gone, "the batch has not ended, and its results are read by its executions")

	ended, _, err := w.store.FeedBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.NotNil(t, ended.FinishedAt)
	w.clock.Advance(retention + time.Minute)
	more, err := j.expirePage(t.Context())
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, files.gone, page, "a page at a time")
	_, _, err = w.store.Batch(t.Context(), b.Ref())
	require.NoError(t, err, "it is found until all of it has gone")
	require.NoError(t, j.expire(t.Context()))
	require.Len(t, files.gone, total)
	_, _, err = w.store.Batch(t.Context(), b.Ref())
	var notFound *store.NotFoundError
	require.ErrorAs(t, err, &notFound)
}

func TestIdleConversationsExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	say := func(conversationID string) execution.Execution {
		ch, err := w.store.SubmitTurn(t.Context(), store.Turn{Owner: owner, ConversationID: conversationID, Message: "x"})
		require.NoError(t, err)
		return ch.Execution
	}
	idle, continued, pending := say(""), say(""), say("")
	w.apply(idle.Ref(), execution.CancelAsked{})
	w.apply(continued.Ref(), execution.CancelAsked{})
	w.clock.Advance(retention + time.Minute)
	say(continued.ConversationID)
	j, _ := w.keeper(retention)
	require.NoError(t, j.expire(t.Context()))
	for e, kept := range map[*execution.Execution]bool{&idle: false, &continued: true, &pending: true} {
		_, err := w.store.Conversation(t.Context(), owner, e.ConversationID)
		messages, listErr := w.store.Messages(t.Context(), owner, e.ConversationID, 0, 10)
		require.NoError(t, listErr)
		require.Equal(t, kept, err == nil)
		require.Equal(t, kept, len(messages) > 0)
	}
}

// Inputs whose API was killed before they became a batch are found by their mark.
func TestInputsWithoutABatchAreDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	left, _ := w.upload(300)
	_, b := w.upload(300)
	require.NoError(t, w.store.SubmitBatch(t.Context(), &b))
	dropped, _ := w.upload(10)
	require.NoError(t, dropped.Drop(t.Context()))
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
	require.Equal(t, 300, left.Len())
	require.Equal(t, 4, count())
	require.Equal(t, 1, marks())
	j, _ := w.keeper(0)
	require.NoError(t, j.expire(t.Context()))
	require.Equal(t, 4, count(), "it may still be on its way")
	w.clock.Advance(uploadTime + time.Minute)
	require.NoError(t, j.expire(t.Context()))
	require.Equal(t, 2, count(), "those of the batch")
	require.Zero(t, marks())
}

func TestOnlyTheLeaderExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.submit()
	w.apply(ref, execution.CancelAsked{})
	w.clock.Advance(retention + time.Minute)
	leads, _, err := w.store.Lead(t.Context(), "another", Lease)
	require.NoError(t, err)
	require.True(t, leads)
	j, _ := w.keeper(retention)
	require.NoError(t, j.expire(t.Context()))
	require.True(t, w.exists(ref))
	w.clock.Advance(Lease)
	w.run(j)
	w.eventually(func() bool { return !w.exists(ref) })
}

func TestDeliveriesThatHaveEndedExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := agent.Agent{Owner: owner, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, w.store.CreateAgent(t.Context(), &a))
	told := func(change func(*webhook.Delivery, time.Time) error) webhook.Ref {
		ch, err := w.store.SubmitRun(t.Context(), store.Run{Owner: owner, AgentID: a.ID, Input: "x", Webhook: "https://example.com"})
		require.NoError(t, err)
		w.apply(ch.Execution.Ref(), execution.CancelAsked{})
		ref := webhook.Ref{Owner: owner, ID: webhook.ID(ch.Execution.ID)}
		_, _, err = w.store.ChangeDelivery(t.Context(), ref, change)
		require.NoError(t, err)
		return ref
	}
	delivered := func(d *webhook.Delivery, now time.Time) error {
		return d.Settle(0, webhook.Answer{Status: http.StatusOK}, now)
	}
	old, pending, again := told(delivered), told((*webhook.Delivery).Claim), told(delivered)
	w.clock.Advance(retention + time.Minute)
	young := told(delivered)
	_, _, err := w.store.ChangeDelivery(t.Context(), again, (*webhook.Delivery).Again)
	require.NoError(t, err)
	j, _ := w.keeper(retention)
	require.NoError(t, j.expire(t.Context()))
	for ref, kept := range map[webhook.Ref]bool{old: false, pending: true, again: true, young: true} {
		_, err := w.store.Delivery(t.Context(), ref)
		require.Equal(t, kept, err == nil, "%v", err)
	}
}
