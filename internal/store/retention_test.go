package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

const retention = 24 * time.Hour

// artifacts records of which executions the contents were deleted.
type artifacts struct {
	mu      sync.Mutex
	deleted []execution.Ref
	fail    map[execution.Ref]bool
}

func (a *artifacts) delete(_ context.Context, ref execution.Ref) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail[ref] {
		return errors.New("on purpose")
	}
	a.deleted = append(a.deleted, ref)
	return nil
}

// find is one of the methods that find what has expired.
type find func(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error)

// purge deletes what a method finds that ended more than the retention ago, and returns how many resources it found.
func (f fixture) purge(t *testing.T, find find, a *artifacts) int {
	t.Helper()
	return f.purgeAt(t, find, retention, a)
}

// purgeAt is purge with another retention.
func (f fixture) purgeAt(t *testing.T, find find, retention time.Duration, a *artifacts) int {
	t.Helper()
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	expired, err := find(t.Context(), now.Add(-retention), new(Scan), 1000)
	require.NoError(t, err)
	for _, e := range expired {
		for more := true; more; {
			more, err = e.Delete(t.Context(), a.delete)
			require.NoError(t, err)
		}
	}
	return len(expired)
}

func (f fixture) exists(t *testing.T, ref execution.Ref) bool {
	t.Helper()
	found, err := exists(t.Context(), f.executionDoc(ref))
	require.NoError(t, err)
	return found
}

// An execution is deleted when it finished before the time, with its input files and its contents. Executions of a
// batch wait for their batch.
func TestExpiredExecutions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var a artifacts
	ch, err := f.SubmitRun(t.Context(), RunRequest{
		Tenant: ada, AgentID: f.createAgent(t, ada).ID, InputFiles: []execution.InputFile{{Path: "a", Data: []byte("b")}},
	})
	require.NoError(t, err)
	old, unfinished := ch.Execution.Ref(), f.submitRun(t, ada)
	b := f.submitBatch(t, "x")
	_, ofBatch := f.dispatch(t, b.Ref())
	f.end(t, old, 0)
	f.end(t, ofBatch[0], 0)
	f.clock.Advance(2 * time.Hour)
	young := f.submitRun(t, bob)
	f.end(t, young, 0)

	f.clock.Advance(retention - 3*time.Hour)
	require.Zero(t, f.purge(t, f.ExpiredExecutions, &a))
	f.clock.Advance(2 * time.Hour)
	require.Equal(t, 1, f.purge(t, f.ExpiredExecutions, &a))
	require.False(t, f.exists(t, old))
	_, err = f.InputFiles(t.Context(), old)
	require.ErrorAs(t, err, new(*NotFoundError))
	require.Equal(t, []execution.Ref{old}, a.deleted)
	for _, ref := range []execution.Ref{unfinished, ofBatch[0], young} {
		require.True(t, f.exists(t, ref))
	}
}

// While its contents cannot be deleted, an execution stays: otherwise nothing would name them.
func TestExpiredExecutionStaysWithItsContents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	f.end(t, ref, 0)
	f.clock.Advance(2 * retention)
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	expired, err := f.ExpiredExecutions(t.Context(), now, new(Scan), 10)
	require.NoError(t, err)
	require.Len(t, expired, 1)
	a := artifacts{fail: map[execution.Ref]bool{ref: true}}
	_, err = expired[0].Delete(t.Context(), a.delete)
	require.Error(t, err)
	require.True(t, f.exists(t, ref))
}

// A batch is deleted as a whole, page by page, and last: an interrupted deletion is continued.
func TestExpiredBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var a artifacts
	other := f.submitBatch(t, "x")
	_, ofOther := f.dispatch(t, other.Ref())
	b := f.submitBatch(t, repeat("x", maxBatchDeletes+5)...)
	var refs []execution.Ref
	for len(refs) < b.Total {
		_, dispatched := f.dispatch(t, b.Ref())
		refs = append(refs, dispatched...)
		for _, ref := range dispatched {
			f.mustApply(t, ref, execution.CancelRequested{})
		}
	}
	f.dispatch(t, b.Ref())
	require.NotNil(t, f.getBatch(t, b.Ref()).FinishedAt)
	require.Zero(t, f.purge(t, f.ExpiredBatches, &a), "too young")
	f.clock.Advance(retention + time.Hour)

	now, err := f.Now(t.Context())
	require.NoError(t, err)
	expired, err := f.ExpiredBatches(t.Context(), now.Add(-retention), new(Scan), 10)
	require.NoError(t, err)
	require.Len(t, expired, 1)
	more, err := expired[0].Delete(t.Context(), a.delete)
	require.NoError(t, err)
	require.True(t, more)
	require.NotZero(t, f.getBatch(t, b.Ref()), "the rest is found by it")

	require.Equal(t, 1, f.purge(t, f.ExpiredBatches, &a))
	require.ElementsMatch(t, refs, a.deleted)
	require.Zero(t, f.countDocuments(t, f.batchExecutions(b.Ref())))
	require.Zero(t, f.countDocuments(t, f.inputChunks(b.Ref()).Query))
	_, _, err = f.Batch(t.Context(), b.Ref())
	require.ErrorAs(t, err, new(*NotFoundError))
	require.True(t, f.exists(t, ofOther[0]))
	require.Equal(t, 1, f.countDocuments(t, f.inputChunks(other.Ref()).Query))
}

// A conversation is deleted with its messages, unless a turn is pending or a message has arrived.
func TestExpiredConversations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	idle, pending, revived := f.submitTurn(t, "", "idle"), f.submitTurn(t, "", "pending"), f.submitTurn(t, "", "revived")
	for _, turn := range []execution.Execution{idle, revived} {
		f.mustApply(t, turn.Ref(), claimEvent)
		f.mustApply(t, turn.Ref(), execution.JobEnded{Attempt: 1, Ending: successEnding("done")})
	}
	f.clock.Advance(retention + time.Hour)
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	expired, err := f.ExpiredConversations(t.Context(), now.Add(-retention), new(Scan), 10)
	require.NoError(t, err)
	require.Len(t, expired, 3)
	again := f.submitTurn(t, revived.ConversationID, "again")
	f.mustApply(t, again.Ref(), execution.CancelRequested{})
	for _, e := range expired {
		_, err := e.Delete(t.Context(), nil)
		require.NoError(t, err)
	}
	_, err = f.Conversation(t.Context(), ada, idle.ConversationID)
	require.ErrorAs(t, err, new(*NotFoundError))
	require.Empty(t, f.listMessages(t, idle))
	require.Len(t, f.listMessages(t, pending), 1)
	require.Len(t, f.listMessages(t, revived), 4)
	for _, e := range expired { // another janitor repeats it
		_, err := e.Delete(t.Context(), nil)
		require.NoError(t, err)
	}
}

// deliver makes an execution with a webhook end, and its delivery too.
func (f fixture) deliver(t *testing.T, status int) webhook.Delivery {
	t.Helper()
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Webhook: "https://example.com"})
	require.NoError(t, err)
	f.mustApply(t, ch.Execution.Ref(), execution.CancelRequested{})
	ref := webhook.Ref{Tenant: ada, ID: webhook.DeliveryID(ch.Execution.ID)}
	_, _, err = f.UpdateDelivery(t.Context(), ref, func(d *webhook.Delivery, now time.Time) error { return d.Claim(now) })
	require.NoError(t, err)
	d, _, err := f.UpdateDelivery(t.Context(), ref, func(d *webhook.Delivery, now time.Time) error {
		return d.RecordResult(d.Attempt, webhook.AttemptResult{Status: status}, now)
	})
	require.NoError(t, err)
	return d
}

// A delivery is deleted when it finished before the time, unless it is sent again in the meantime.
func TestExpiredDeliveries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	delivered, resent, failing := f.deliver(t, 200), f.deliver(t, 410), f.deliver(t, 500)
	require.Nil(t, failing.FinishedAt)
	require.Zero(t, f.purge(t, f.ExpiredDeliveries, nil), "too young")
	f.clock.Advance(retention + time.Hour)
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	expired, err := f.ExpiredDeliveries(t.Context(), now.Add(-retention), new(Scan), 10)
	require.NoError(t, err)
	require.Len(t, expired, 2)
	_, _, err = f.UpdateDelivery(t.Context(), resent.Ref(), (*webhook.Delivery).Retry)
	require.NoError(t, err)
	for range 2 {
		for _, e := range expired {
			_, err := e.Delete(t.Context(), nil)
			require.NoError(t, err)
		}
	}
	left, err := f.Deliveries(t.Context(), ada, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, left, 2)
	for _, d := range left {
		require.NotEqual(t, delivered.ID, d.ID)
	}
}

// A delivery is due until it has finished; its back-off is over at its due time.
func TestDueDeliveries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	due := func() (ids []string) {
		found, err := f.DueDeliveries(t.Context(), new(Scan), 10)
		require.NoError(t, err)
		for _, d := range found {
			require.Equal(t, ada, d.Tenant)
			require.Equal(t, "https://example.com", d.URL)
			ids = append(ids, d.ID)
		}
		return ids
	}
	f.deliver(t, 200)
	failing := f.deliver(t, 500)
	require.Empty(t, due())
	f.clock.Advance(time.Minute)
	require.Equal(t, []string{failing.ID}, due())
}

// An update that is refused changes nothing.
func TestUpdateDeliveryRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.deliver(t, 200)
	_, _, err := f.UpdateDelivery(t.Context(), d.Ref(), func(d *webhook.Delivery, now time.Time) error {
		d.URL = "https://other.example"
		return d.Claim(now)
	})
	require.ErrorIs(t, err, webhook.ErrNotDue)
	stored, err := f.Delivery(t.Context(), d.Ref())
	require.NoError(t, err)
	require.Equal(t, d.URL, stored.URL)
	_, _, err = f.UpdateDelivery(t.Context(), webhook.Ref{Tenant: bob, ID: d.ID}, (*webhook.Delivery).Retry)
	require.Equal(t, &NotFoundError{Resource: "delivery", ID: d.ID}, err)
}
