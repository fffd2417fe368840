package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
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
	return b, ch
}

// end ends an execution with success at a cost.
func (f fixture) end(t *testing.T, ref execution.Ref, costUSD float64) {
	t.Helper()
	f.mustApply(t, ref, claimEvent)
	ending := successEnding("done")
	ending.Usage.CostUSD = costUSD
	f.mustApply(t, ref, execution.JobEnded{Attempt: f.getExecution(t, ref).Attempt, Ending: ending})
}

// A batch gets executions in the order of its inputs, one document of inputs at a time, until all have ended.
func TestDispatchBatchToItsEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	large := strings.Repeat("x", maxChunkBytes)
	b := f.upload(t, "a", "b", "c", large, "e")
	b.Webhook = "https://example.com"
	require.NoError(t, f.SubmitBatch(t.Context(), &b, nil))
	require.Equal(t, "Count the words", b.Task.Instructions)
	stored, err := f.Tenant(t.Context(), ada)
	require.NoError(t, err)
	require.True(t, stored.Backlogged, "its dispatcher finds it")
	require.Equal(t, tenant.LaneWaiting, stored.Backlog.Batch)

	dispatched, first := f.dispatch(t, b.Ref())
	require.Equal(t, 3, dispatched.NextInput)
	require.Equal(t, []execution.Ref{{Tenant: ada, ID: b.ExecutionID(0)}, {Tenant: ada, ID: b.ExecutionID(1)}, {Tenant: ada, ID: b.ExecutionID(2)}}, first)
	for i, input := range []string{"a", "b", "c"} {
		require.Equal(t, input, f.getExecution(t, first[i]).Task.Input)
	}
	queued, err := f.QueuedOfBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.Len(t, queued, 3)
	f.end(t, first[0], 0.25)
	f.end(t, first[1], 0.5)
	f.mustApply(t, first[2], execution.CancelRequested{})
	_, second := f.dispatch(t, b.Ref())
	require.Equal(t, []execution.Ref{{Tenant: ada, ID: b.ExecutionID(3)}}, second)
	_, last := f.dispatch(t, b.Ref())
	require.Len(t, last, 1)
	f.end(t, second[0], 0)
	dispatched, none := f.dispatch(t, b.Ref())
	require.Empty(t, none)
	require.Nil(t, dispatched.FinishedAt, "one is queued")
	f.mustApply(t, last[0], claimEvent)
	dispatched, _ = f.dispatch(t, b.Ref())
	require.Nil(t, dispatched.FinishedAt, "one is running")
	require.Zero(t, f.countDocuments(t, f.collection(ada, deliveries).Query))
	f.mustApply(t, last[0], failureEvent(1))

	dispatched, _ = f.dispatch(t, b.Ref())
	require.NotNil(t, dispatched.FinishedAt)
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
			dispatched <- len(ch)
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

// The oldest come first. A canceled one says so, and finished ones and those of other tenants are not active.
func TestActiveBatches(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	finished := f.submitBatch(t, "x")
	var ids []string
	for range 3 {
		ids = append(ids, f.submitBatch(t, "x").ID)
		f.clock.Advance(time.Second)
	}
	_, err := f.CancelBatch(t.Context(), finished.Ref())
	require.NoError(t, err)
	f.dispatch(t, finished.Ref())
	_, err = f.CancelBatch(t.Context(), batch.Ref{Tenant: ada, ID: ids[1]})
	require.NoError(t, err)
	active, err := f.ActiveBatches(t.Context(), ada)
	require.NoError(t, err)
	var found []string
	for _, a := range active {
		found = append(found, a.ID)
		require.Equal(t, a.ID == ids[1], a.CancelRequested)
		require.Equal(t, "offline", a.Runtime)
	}
	require.Equal(t, ids, found)
	none, err := f.ActiveBatches(t.Context(), bob)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestCancelBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := f.submitBatch(t, repeat("x", 3)...)
	_, refs := f.dispatch(t, b.Ref())
	f.mustApply(t, refs[0], execution.CancelRequested{})
	f.mustApply(t, refs[1], execution.Claimed{Executor: "x1"})
	f.clock.Advance(time.Hour)

	canceled, err := f.CancelBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.True(t, canceled.CancelRequested)
	require.Equal(t, canceled, f.getBatch(t, b.Ref()))

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
	b := f.upload(t, "a", "b", strings.Repeat("x", maxChunkBytes))
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
	_, refs := f.dispatch(t, b.Ref()) // the first document of inputs
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

// What is unfinished is counted over all tenants.
func TestBacklog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, err := f.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, Backlog{Queued: map[execution.Lane]int{execution.LaneInteractive: 0, execution.LaneBatch: 0}}, b)

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
	require.Equal(t, map[execution.Lane]int{execution.LaneInteractive: 2, execution.LaneBatch: 2}, b.Queued, "of all tenants")
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
	require.Equal(t, "3 queued, 4 unfinished", f.counts(t, 10), "without the batch and the other tenant")
	require.Equal(t, "2 queued, 2 unfinished", f.counts(t, 2), "no further than the limit")
}

func (f fixture) counts(t *testing.T, limit int) string {
	t.Helper()
	queued, err := f.CountQueued(t.Context(), ada, limit)
	require.NoError(t, err)
	unfinished, err := f.CountUnfinished(t.Context(), ada, limit)
	require.NoError(t, err)
	return fmt.Sprintf("%d queued, %d unfinished", queued, unfinished)
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
