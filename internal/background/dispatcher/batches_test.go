package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// Every input becomes one execution that is published once, and a window of them is in flight at the same time.
func TestBatchRunsInItsWindow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(f.store)
	const total = 300 // two documents of inputs
	ref := f.submitBatch(ada, total)
	f.runUntilFinished(ref)
	window := dispatch.Window(dispatch.Capacity{Slots: slots, Weight: 1, WaitingWeight: 1})
	require.GreaterOrEqual(t, f.maxInFlight, window)
	require.Less(t, f.maxInFlight, total/2)

	published := f.timesPublished()
	require.Len(t, published, total)
	for ref, n := range published {
		require.Equal(t, 1, n, ref.ID)
	}
	b, _, err := f.store.Batch(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, total, b.NextInput)
	for first := 0; first < total; first += 20 {
		page, err := f.store.BatchExecutions(t.Context(), &b, first, 20)
		require.NoError(t, err)
		require.Len(t, page, 20)
		for i, e := range page {
			require.Equal(t, fmt.Sprint("input ", first+i), e.Task.Input, "in input order")
		}
	}
	counts, cost, err := f.store.BatchCounts(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, total, counts[execution.Succeeded])
	require.InDelta(t, total*0.5, cost, 1e-6)
	require.Eventually(t, func() bool { return !f.state(ada).Backlogged }, waitTimeout, interval)
}

// The batches of a tenant share its window, however large one of them is.
func TestBatchesOfOneTenantShare(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.newDispatcher(f.store)
	large, small := f.submitBatch(ada, 200), f.submitBatch(ada, 50)
	require.NoError(t, d.turn(t.Context(), ada))
	counts := map[string]int{}
	for range 250 {
		ref := f.next()
		e, err := f.store.Execution(t.Context(), ref)
		require.NoError(t, err)
		counts[e.BatchID]++
		d.OnSignal(f.end(ref))
		require.NoError(t, d.turn(t.Context(), ada))
		if counts[small.ID] == 50 {
			break
		}
	}
	require.Equal(t, 50, counts[small.ID])
	require.InDelta(t, 50, counts[large.ID], slots)
}

// faultyStore is a real store that loses some answers of DispatchBatch, after the batch was dispatched.
type faultyStore struct {
	*store.Store
	calls atomic.Int32
}

func (s *faultyStore) DispatchBatch(ctx context.Context, ref batch.Ref) (batch.Batch, []execution.Ref, error) {
	b, created, err := s.Store.DispatchBatch(ctx, ref)
	if n := s.calls.Add(1); err == nil && n%2 == 1 {
		return batch.Batch{}, nil, fmt.Errorf("%w: on purpose", store.ErrUnavailable)
	}
	return b, created, err
}

// A lost answer does not make the dispatcher create an execution twice, or forget one.
func TestLostResponsesCreateNoDuplicates(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(&faultyStore{Store: f.store})
	f.runUntilFinished(f.submitBatch(ada, 600))
	require.Len(t, f.timesPublished(), 600)
}

// panickingStore is a real store that panics over one batch.
type panickingStore struct {
	*store.Store
	bad   batch.Ref
	calls atomic.Int32
}

func (s *panickingStore) DispatchBatch(ctx context.Context, ref batch.Ref) (batch.Batch, []execution.Ref, error) {
	if ref == s.bad {
		s.calls.Add(1)
		panic("on purpose")
	}
	return s.Store.DispatchBatch(ctx, ref)
}

func TestFailingBatchDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := &panickingStore{Store: f.store, bad: f.submitBatch(ada, 1)}
	good, run := f.submitBatch(ada, 3), f.submitRuns(ada, 1)[0]
	f.start(s)
	f.runUntilFinished(good)
	require.Positive(t, s.calls.Load())
	require.Contains(t, f.timesPublished(), run)
}

func TestBatchThatCannotBeDecodedDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	doc := f.firestore.Client.Doc("tenants/ada/batches/bat_bad")
	_, err := doc.Create(t.Context(), map[string]any{"id": 7, "total": "not a number", "finishedAt": nil, "createdAt": f.clock.Now().Add(-time.Minute)})
	require.NoError(t, err)
	f.start(f.store)
	f.runUntilFinished(f.submitBatch(ada, 3))
}

// deleteChunk deletes the inputs that are stored in the same document as input first.
func (f *fixture) deleteChunk(ref batch.Ref, first int) {
	f.t.Helper()
	doc := f.firestore.Client.Doc(fmt.Sprintf("tenants/%s/batches/%s/inputs/%06d", ref.Tenant, ref.ID, first))
	_, err := doc.Delete(f.t.Context(), firestore.Exists)
	require.NoError(f.t, err)
}

// A batch whose inputs are lost in part runs the others and ends. It does not wait for ever.
func TestBatchEndsWithoutLostInputs(t *testing.T) {
	t.Parallel()
	const chunk = 256
	for name, test := range map[string]struct {
		total int
		lost  []int // first inputs of the deleted chunks
	}{
		"first":  {chunk + 4, []int{0}},
		"middle": {2*chunk + 4, []int{chunk}},
		"last":   {chunk + 4, []int{chunk}},
		"all":    {2 * chunk, []int{0, chunk}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			ref := f.submitBatch(ada, test.total)
			lost := map[int]bool{}
			for _, first := range test.lost {
				f.deleteChunk(ref, first)
				for i := first; i < min(first+chunk, test.total); i++ {
					lost[i] = true
				}
			}
			f.start(f.store)
			f.runUntilFinished(ref)
			b, now, err := f.store.Batch(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, len(lost), b.LostInputs)
			counts, cost, err := f.store.BatchCounts(t.Context(), ref)
			require.NoError(t, err)
			p := b.Progress(counts, cost, now)
			require.Equal(t, len(lost), p.Missing)
			require.Equal(t, test.total-len(lost), p.ByStatus[execution.Succeeded])
			found, err := f.store.BatchExecutions(t.Context(), &b, 0, test.total)
			require.NoError(t, err)
			require.Len(t, found, test.total)
			for i, e := range found {
				require.Equal(t, lost[i], e == nil, "input %d", i)
				if e != nil {
					require.Equal(t, fmt.Sprint("input ", i), e.Task.Input)
				}
			}
		})
	}
}

// uncancelable is a real store in which one execution cannot be canceled.
type uncancelable struct {
	*store.Store
	bad execution.Ref
}

func (s uncancelable) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if ref == s.bad {
		return execution.Change{}, errors.New("on purpose")
	}
	return s.Store.Apply(ctx, ref, ev)
}

func TestExecutionThatCannotBeCanceledDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.newDispatcher(f.store)
	ref := f.submitBatch(ada, slots)
	require.NoError(t, d.turn(t.Context(), ada))
	bad := f.next()
	d.config.Executions = uncancelable{f.store, bad}
	_, err := f.store.CancelBatch(t.Context(), ref)
	require.NoError(t, err)
	f.dispatchers = []*Dispatcher{d}
	f.wake(ada, execution.LaneBatch)
	require.NoError(t, d.turn(t.Context(), ada))
	inFlight, err := f.store.BatchInFlight(t.Context(), ref, new(store.Scan), slots)
	require.NoError(t, err)
	require.Equal(t, []execution.Ref{bad}, inFlight)
	require.False(t, d.tenants[ada].batches[0].retryAt.IsZero(), "the batch is tried again")
}

// Canceling a batch cancels its queued executions at once and asks the executors of running ones to stop.
func TestCanceledBatchFinishes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitBatch(ada, 300)
	f.start(f.store)
	running := f.next()
	_, err := f.store.Apply(t.Context(), running, claimed)
	require.NoError(t, err)
	_, err = f.store.CancelBatch(t.Context(), ref)
	require.NoError(t, err)
	f.wake(ada, execution.LaneBatch)

	require.Eventually(t, func() bool {
		e, err := f.store.Execution(t.Context(), running)
		return err == nil && e.CancelRequested
	}, waitTimeout, interval)
	b, now, err := f.store.Batch(t.Context(), ref)
	require.NoError(t, err)
	require.Nil(t, b.FinishedAt, "one execution still runs")
	ch, err := f.store.Apply(t.Context(), running, execution.JobEnded{Attempt: 1, Ending: execution.NewCanceledFailure().Ending(execution.Usage{})})
	require.NoError(t, err)
	f.signal(endSignal(&ch.Execution))

	require.Eventually(t, func() bool {
		b, now, err = f.store.Batch(t.Context(), ref)
		return err == nil && b.FinishedAt != nil
	}, waitTimeout, interval)
	counts, cost, err := f.store.BatchCounts(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, 300, b.Progress(counts, cost, now).ByStatus[execution.Canceled])
	_, err = f.store.CancelBatch(t.Context(), ref)
	require.ErrorIs(t, err, execution.ErrTerminal)
}
