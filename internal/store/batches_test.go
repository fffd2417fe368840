package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

func (f fixture) getBatch(t *testing.T, ref batch.Ref) batch.Batch {
	t.Helper()
	b, _, err := f.Batch(t.Context(), ref)
	require.NoError(t, err)
	return b
}

func (f fixture) dispatch(t *testing.T, ref batch.Ref) (batch.Batch, []execution.Ref) {
	t.Helper()
	b, ch, err := f.DispatchBatch(t.Context(), ref)
	require.NoError(t, err)
	return b, ch.Notify
}

// end ends an execution with success at a cost.
func (f fixture) end(t *testing.T, ref execution.Ref, costUSD float64) {
	t.Helper()
	f.mustApply(t, ref, claimEvent)
	ending := successEnding("done")
	ending.Usage.CostUSD = costUSD
	f.mustApply(t, ref, execution.JobEnded{Attempt: f.getExecution(t, ref).Attempt, Ending: ending})
}

// A batch gets executions in the order of its inputs, within its window, until all have ended.
func TestDispatchBatchToItsEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.upload(t, "a", "b", "c", "d", "e")
	b.Window, b.Webhook = 2, "https://example.com"
	require.NoError(t, f.SubmitBatch(t.Context(), &b, nil))
	require.Equal(t, "Count the words", b.Task.Instructions)
	require.Equal(t, b.CreatedAt, *b.Due, "due at once")

	stored, first := f.dispatch(t, b.Ref())
	require.Equal(t, 2, stored.NextInput)
	require.Equal(t, []execution.Ref{{Tenant: ada, ID: b.ExecutionID(0)}, {Tenant: ada, ID: b.ExecutionID(1)}}, first)
	require.Equal(t, "a", f.getExecution(t, first[0]).Task.Input)
	require.Equal(t, "b", f.getExecution(t, first[1]).Task.Input)
	_, none := f.dispatch(t, b.Ref())
	require.Empty(t, none, "the window is full")

	f.mustApply(t, first[0], claimEvent)
	_, none = f.dispatch(t, b.Ref())
	require.Empty(t, none, "a running execution is in flight too")
	f.mustApply(t, first[0], successEvent(1, "done"))
	_, second := f.dispatch(t, b.Ref())
	require.Equal(t, []execution.Ref{{Tenant: ada, ID: b.ExecutionID(2)}}, second)

	f.end(t, first[1], 0.25)
	f.end(t, second[0], 0.5)
	_, last := f.dispatch(t, b.Ref())
	require.Len(t, last, 2)
	f.mustApply(t, last[0], execution.CancelRequested{})
	stored, none = f.dispatch(t, b.Ref())
	require.Empty(t, none)
	require.Nil(t, stored.FinishedAt, "one is queued")
	require.Zero(t, f.countDocuments(t, f.collection(ada, deliveries).Query))
	f.mustApply(t, last[1], claimEvent)
	f.mustApply(t, last[1], failureEvent(1))

	stored, _ = f.dispatch(t, b.Ref())
	require.NotNil(t, stored.FinishedAt)
	require.Nil(t, stored.Due)
	d, err := f.Delivery(t.Context(), webhook.Ref{Tenant: ada, ID: webhook.DeliveryID(b.ID)})
	require.NoError(t, err)
	require.Equal(t, webhook.BatchFinished, d.Type)
	counts, cost, err := f.BatchCounts(t.Context(), b.Ref())
	require.NoError(t, err)
	require.Equal(t, map[execution.Status]int{
		execution.Queued: 0, execution.Running: 0, execution.Succeeded: 3, execution.Failed: 1, execution.TimedOut: 0, execution.Canceled: 1,
	}, counts)
	require.InDelta(t, 0.75, cost, 1e-9)

	_, _, err = f.DispatchBatch(t.Context(), b.Ref())
	require.ErrorIs(t, err, batch.ErrConflict, "it has finished")
}

// Two dispatchers decide by the same count. Only one of them dispatches.
func TestDispatchBatchConflict(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.submitBatch(t, repeat("x", 4)...)
	conflicts, dispatched := make(chan error, 8), make(chan int, 8)
	for range cap(conflicts) {
		go func() {
			_, ch, err := f.DispatchBatch(context.WithoutCancel(t.Context()), b.Ref())
			conflicts <- err
			dispatched <- len(ch.Notify)
		}()
	}
	sum := 0
	for range cap(conflicts) {
		if err := <-conflicts; err != nil && !IsUnavailable(err) {
			require.ErrorIs(t, err, batch.ErrConflict)
		}
		sum += <-dispatched
	}
	require.LessOrEqual(t, sum, 4)
	_, _, err := f.DispatchBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.Equal(t, 4, f.countExecutions(t, ada), "each input has one execution")
}

// The batches of a tenant share its window. Those of others, and finished ones, take no part.
func TestBatchesShareTheWindow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var refs []batch.Ref
	for range 3 {
		b := f.upload(t, repeat("x", 10)...)
		b.Window = 4
		require.NoError(t, f.SubmitBatch(t.Context(), &b, nil))
		refs = append(refs, b.Ref())
		f.clock.Advance(time.Second)
	}
	finished := f.submitBatch(t, "x")
	_, err := f.CancelBatch(t.Context(), finished.Ref())
	require.NoError(t, err)
	f.dispatch(t, finished.Ref())
	require.NotNil(t, f.getBatch(t, finished.Ref()).FinishedAt)

	var shares []int
	for _, ref := range refs {
		b, _ := f.dispatch(t, ref)
		shares = append(shares, b.NextInput)
	}
	require.Equal(t, []int{2, 1, 1}, shares, "the oldest gets the remainder")
}

func TestCancelBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.submitBatch(t, repeat("x", 3)...)
	_, refs := f.dispatch(t, b.Ref())
	f.mustApply(t, refs[0], execution.CancelRequested{})
	f.mustApply(t, refs[1], execution.Claimed{Executor: "x1", Lease: 2 * time.Hour})
	f.clock.Advance(time.Hour)

	canceled, err := f.CancelBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.True(t, canceled.CancelRequested)
	require.Equal(t, canceled, f.getBatch(t, b.Ref()))
	require.WithinDuration(t, f.clock.Now(), *canceled.Due, time.Minute, "due at once")

	inFlight := func() []execution.Ref {
		found, err := f.BatchInFlight(t.Context(), b.Ref(), new(Scan), 10)
		require.NoError(t, err)
		return found
	}
	require.ElementsMatch(t, refs[1:], inFlight())
	f.mustApply(t, refs[1], execution.CancelRequested{})
	require.Equal(t, refs[2:], inFlight(), "the running one is being canceled")
	f.mustApply(t, refs[2], execution.CancelRequested{})
	stored, _ := f.dispatch(t, b.Ref())
	require.Nil(t, stored.FinishedAt, "one still runs")
	f.mustApply(t, refs[1], execution.HandedBack{Attempt: 1})
	stored, _ = f.dispatch(t, b.Ref())
	require.NotNil(t, stored.FinishedAt)

	_, err = f.CancelBatch(t.Context(), b.Ref())
	require.ErrorIs(t, err, execution.ErrTerminal)
	_, err = f.CancelBatch(t.Context(), batch.Ref{Tenant: bob, ID: b.ID})
	require.Equal(t, &NotFoundError{Resource: "batch", ID: b.ID}, err)
}

func TestBatchExecutionsInOrderOfInputs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.upload(t, "a", "b", "c", "d")
	b.Window = 3
	require.NoError(t, f.SubmitBatch(t.Context(), &b, nil))
	other := f.submitBatch(t, "other")
	f.dispatch(t, other.Ref())
	inputs := func(first, limit int) (found []string) {
		stored := f.getBatch(t, b.Ref())
		executions, err := f.BatchExecutions(t.Context(), &stored, first, limit)
		require.NoError(t, err)
		for _, e := range executions {
			found = append(found, e.Task.Input)
		}
		return found
	}
	require.Empty(t, inputs(0, 10))
	_, refs := f.dispatch(t, b.Ref()) // half of the window
	require.Len(t, refs, 2)
	require.Equal(t, []string{"a", "b"}, inputs(0, 10))
	require.Equal(t, []string{"a"}, inputs(0, 1))
	require.Equal(t, []string{"b"}, inputs(1, 10))
	require.Empty(t, inputs(2, 10), "not dispatched yet")
}

func TestBatchesNewestFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var ids []string
	for range 3 {
		ids = append(ids, f.submitBatch(t, "x").ID)
		f.clock.Advance(time.Second)
	}
	page, err := f.Batches(t.Context(), ada, Page{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, []string{ids[2], ids[1]}, []string{page[0].ID, page[1].ID})
	page, err = f.Batches(t.Context(), ada, Page{Limit: 2, After: &Cursor{At: page[1].CreatedAt, ID: page[1].ID}})
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, ids[0], page[0].ID)
	page, err = f.Batches(t.Context(), bob, Page{Limit: 2})
	require.NoError(t, err)
	require.Empty(t, page)
}

// A batch is due at once, and again after each poll. A finished one is not.
func TestDueBatches(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	due := func() []batch.Ref {
		found, err := f.DueBatches(t.Context(), new(Scan), 10)
		require.NoError(t, err)
		return found
	}
	b := f.submitBatch(t, "x")
	require.Equal(t, []batch.Ref{b.Ref()}, due())
	_, refs := f.dispatch(t, b.Ref())
	require.Empty(t, due())
	f.clock.Advance(3 * time.Second)
	require.Equal(t, []batch.Ref{b.Ref()}, due())
	f.end(t, refs[0], 0)
	f.dispatch(t, b.Ref())
	f.clock.Advance(time.Hour)
	require.Empty(t, due())
}

// What is unfinished is counted over all tenants.
func TestBacklog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, err := f.Backlog(t.Context())
	require.NoError(t, err)
	require.Zero(t, b)

	f.submitRun(t, ada)
	f.clock.Advance(time.Minute)
	running, ended := f.submitRun(t, bob), f.submitRun(t, ada)
	f.mustApply(t, running, claimEvent)
	f.end(t, ended, 0)
	f.submitRun(t, bob)
	waiting := f.submitBatch(t, "x", "y")
	f.dispatch(t, waiting.Ref())
	done := f.submitBatch(t, "x")
	_, refs := f.dispatch(t, done.Ref())
	f.end(t, refs[0], 0)
	f.dispatch(t, done.Ref())
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Webhook: "https://example.com"})
	require.NoError(t, err)
	f.end(t, ch.Execution.Ref(), 0)
	f.clock.Advance(time.Minute)

	b, err = f.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, b.Interactive.Depth)
	require.InDelta(t, 2*time.Minute, b.Interactive.OldestAge, float64(10*time.Second), "the oldest of all tenants")
	require.Equal(t, 2, b.Batch.Depth)
	require.InDelta(t, time.Minute, b.Batch.OldestAge, float64(10*time.Second))
	require.Equal(t, 1, b.Running)
	require.Equal(t, 1, b.Batches)
	require.Equal(t, 1, b.Deliveries)
}

// The limits of a tenant are compared with these counts.
func TestCountsOfTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var refs []execution.Ref
	for range 4 {
		refs = append(refs, f.submitRun(t, ada))
		f.clock.Advance(time.Second)
	}
	f.submitRun(t, bob)
	b := f.submitBatch(t, repeat("x", 3)...)
	f.dispatch(t, b.Ref())
	f.mustApply(t, refs[3], claimEvent)
	require.Equal(t, "3 queued, 1 running", f.counts(t, 10), "without the batch and the other tenant")
	require.Equal(t, "2 queued, 1 running", f.counts(t, 2), "no further than the limit")

	for _, i := range []int{1, 0} {
		f.mustApply(t, refs[i], execution.Throttled{})
	}
	throttled, err := f.OldestThrottled(t.Context(), ada, new(Scan), 10)
	require.NoError(t, err)
	require.Equal(t, refs[:2], throttled)
	throttled, err = f.OldestThrottled(t.Context(), ada, new(Scan), 1)
	require.NoError(t, err)
	require.Equal(t, refs[:1], throttled)
	throttled, err = f.OldestThrottled(t.Context(), bob, new(Scan), 10)
	require.NoError(t, err)
	require.Empty(t, throttled)
}

func (f fixture) counts(t *testing.T, limit int) string {
	t.Helper()
	queued, err := f.CountQueued(t.Context(), ada, limit)
	require.NoError(t, err)
	running, err := f.CountRunning(t.Context(), ada, limit)
	require.NoError(t, err)
	return fmt.Sprintf("%d queued, %d running", queued, running)
}

// The cost of a day counts what finished since midnight UTC, by Firestore's clock.
func TestCostToday(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	tomorrow := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	f.clock.Advance(tomorrow.Add(-time.Hour).Sub(now)) // 23:00
	f.end(t, f.submitRun(t, ada), 4)
	f.clock.Advance(2 * time.Hour) // 01:00
	usd, _, err := f.CostToday(t.Context(), ada)
	require.NoError(t, err)
	require.Zero(t, usd)
	f.end(t, f.submitRun(t, ada), 0.5)
	f.end(t, f.submitRun(t, ada), 0.25)
	f.end(t, f.submitRun(t, bob), 8)
	usd, untilMidnight, err := f.CostToday(t.Context(), ada)
	require.NoError(t, err)
	require.InDelta(t, 0.75, usd, 1e-9)
	require.InDelta(t, 23*time.Hour, untilMidnight, float64(time.Minute))
}

func TestAPIKeysNewestFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 3 {
		require.NoError(t, f.CreateAPIKey(t.Context(), &apikey.Key{ID: fmt.Sprint("key_", i), Tenant: ada}, 0))
		f.clock.Advance(time.Second)
	}
	keys, err := f.APIKeys(t.Context(), ada, Page{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, []string{"key_2", "key_1"}, []string{keys[0].ID, keys[1].ID})
	require.NoError(t, f.RevokeAPIKey(t.Context(), ada, "key_2"))
	require.Equal(t, &NotFoundError{Resource: "API key", ID: "key_2"}, f.RevokeAPIKey(t.Context(), ada, "key_2"))
	require.Equal(t, &NotFoundError{Resource: "API key", ID: "key_1"}, f.RevokeAPIKey(t.Context(), bob, "key_1"))
	keys, err = f.APIKeys(t.Context(), ada, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, keys, 2)
}
