package batchdispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	tenant      = "ada"
	window      = 10
	waitTimeout = 2 * time.Minute // only a failing test waits this long
	interval    = 10 * time.Millisecond
)

// fixture has a real store. It is the publisher as well: the test takes the published executions from queued.
type fixture struct {
	t         *testing.T
	firestore *emulatortest.Firestore
	clock     *emulatortest.Clock
	store     *store.Store

	mu          sync.Mutex
	published   map[execution.Ref]int // number of notifications
	queued      chan execution.Ref    // published executions that the test has not taken
	dispatchers []*Dispatcher
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	clock := new(emulatortest.Clock)
	emulator := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	return &fixture{t: t, firestore: emulator, clock: clock, store: store.New(emulator.Client), published: map[execution.Ref]int{}, queued: make(chan execution.Ref, 10_000)}
}

func (f *fixture) Publish(_ context.Context, ch execution.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ref := range ch.Notify {
		f.published[ref]++
		f.queued <- ref
	}
	return nil
}

func (f *fixture) newDispatcher(s Store, p Publisher) *Dispatcher {
	return New(Config{Store: s, Executions: f.store, Publisher: p, Interval: interval, Log: zaptest.NewLogger(f.t)})
}

// startDispatcher runs a dispatcher over a store, which may be a faulty one, until the test ends.
func (f *fixture) startDispatcher(s Store) {
	d := f.newDispatcher(s, f)
	f.dispatchers = append(f.dispatchers, d)
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return d.Run(ctx) })
	f.t.Cleanup(func() {
		cancel()
		require.NoError(f.t, running.Wait())
	})
}

func (f *fixture) submit(total int) batch.Ref {
	f.t.Helper()
	ctx := f.t.Context()
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(f.t, f.store.CreateAgent(ctx, &a, nil))
	b := batch.Batch{ID: id.New(id.Batch), Tenant: tenant, AgentID: a.ID, Total: total, Window: window}
	inputs := f.store.NewBatchInputWriter(b.Ref())
	for i := range total {
		require.NoError(f.t, inputs.Add(ctx, batch.Input{Text: fmt.Sprint("input ", i)}))
	}
	require.NoError(f.t, inputs.Flush(ctx))
	require.NoError(f.t, f.store.SubmitBatch(ctx, &b, nil))
	return b.Ref()
}

// runUntilFinished finishes published executions until the batch has finished. It returns the largest number of
// executions that were published and not finished at the same time.
func (f *fixture) runUntilFinished(ref batch.Ref) (maxQueued int) {
	f.t.Helper()
	deadline := time.After(waitTimeout)
	for {
		select {
		case executionRef := <-f.queued:
			maxQueued = max(maxQueued, len(f.queued)+1)
			f.finishExecution(executionRef)
		case <-time.After(interval):
			if b, _, err := f.store.Batch(f.t.Context(), ref); err == nil && b.FinishedAt != nil {
				return maxQueued
			}
		case <-deadline:
			f.t.Fatal("the batch does not finish")
		}
	}
}

func (f *fixture) finishExecution(ref execution.Ref) {
	f.t.Helper()
	ctx := f.t.Context()
	_, err := f.store.Apply(ctx, ref, execution.Claimed{Executor: "x", Lease: time.Minute})
	require.NoError(f.t, err)
	ch, err := f.store.Apply(ctx, ref, execution.JobEnded{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{Text: "done"}, Usage: execution.Usage{CostUSD: 0.5},
	}})
	require.NoError(f.t, err)
	for _, d := range f.dispatchers {
		d.OnExecutionFinished(ch.Execution)
	}
}

// Every input becomes one execution that is published once, and no more executions than the window are queued at the
// same time, with one dispatcher or with several.
func TestDispatchStaysWithinWindow(t *testing.T) {
	for _, dispatchers := range []int{1, 3} {
		t.Run(fmt.Sprint(dispatchers), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for range dispatchers {
				f.startDispatcher(f.store)
			}
			const total = 60
			ref := f.submit(total)
			require.LessOrEqual(t, f.runUntilFinished(ref), window)

			require.Len(t, f.published, total)
			for ref, n := range f.published {
				require.Equal(t, 1, n, ref.ID)
			}
			b, _, err := f.store.Batch(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, total, b.NextInput)
			require.Nil(t, b.Due)
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
		})
	}
}

func TestInputsInSeveralDocumentsStayInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, f.store.CreateAgent(ctx, &a, nil))
	b := batch.Batch{ID: id.New(id.Batch), Tenant: tenant, AgentID: a.ID, Window: 1000}
	inputs := f.store.NewBatchInputWriter(b.Ref())
	large := strings.Repeat("x", 200<<10)
	for i := range 300 {
		text := fmt.Sprint("input ", i)
		if i >= 290 {
			text += large // three of them do not fit into one document
		}
		require.NoError(t, inputs.Add(ctx, batch.Input{Text: text}))
	}
	require.NoError(t, inputs.Flush(ctx))
	b.Total = inputs.Len()
	require.Equal(t, 300, b.Total)
	require.NoError(t, f.store.SubmitBatch(ctx, &b, nil))

	next := 0
	for next < b.Total {
		_, ch, err := f.store.DispatchBatch(ctx, b.Ref())
		require.NoError(t, err)
		require.NotEmpty(t, ch.Notify)
		for _, ref := range ch.Notify {
			e, err := f.store.Execution(ctx, ref)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("input ", next), strings.TrimSuffix(e.Task.Input, large))
			next++
		}
	}
	_, ch, err := f.store.DispatchBatch(ctx, b.Ref())
	require.NoError(t, err)
	require.Empty(t, ch.Notify)

	dropped := f.store.NewBatchInputWriter(b.Ref())
	require.NoError(t, dropped.Delete(ctx))
	require.NoError(t, dropped.Delete(ctx), "the second call changes nothing")
}

// faultyStore is a real store that loses some answers of DispatchBatch, after the batch was dispatched.
type faultyStore struct {
	*store.Store
	calls atomic.Int32
}

func (s *faultyStore) DispatchBatch(ctx context.Context, ref batch.Ref) (batch.Batch, execution.Change, error) {
	b, ch, err := s.Store.DispatchBatch(ctx, ref)
	if n := s.calls.Add(1); err == nil && n%5 == 3 {
		return batch.Batch{}, execution.Change{}, fmt.Errorf("%w: on purpose", store.ErrUnavailable)
	}
	return b, ch, err
}

// A lost answer does not make the dispatcher create an execution twice. The executions that it could not publish are
// published by the janitor.
func TestLostResponsesCreateNoDuplicates(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startDispatcher(&faultyStore{Store: f.store})
	const total = 40
	ref := f.submit(total)
	stop := make(chan struct{})
	var republishing sync.WaitGroup
	republishing.Go(func() { // as the janitor does
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			inFlight, err := f.store.BatchInFlight(context.Background(), ref, new(store.Scan), total)
			if err != nil {
				continue
			}
			for _, executionRef := range inFlight {
				f.queued <- executionRef
			}
		}
	})
	deadline := time.After(waitTimeout)
	for finished := map[execution.Ref]bool{}; len(finished) < total; {
		select {
		case executionRef := <-f.queued:
			if !finished[executionRef] {
				f.finishExecution(executionRef)
				finished[executionRef] = true
			}
		case <-deadline:
			t.Fatal("not all executions were published")
		}
	}
	close(stop)
	republishing.Wait()
	require.Eventually(t, func() bool {
		b, _, err := f.store.Batch(t.Context(), ref)
		return err == nil && b.FinishedAt != nil
	}, waitTimeout, interval)
}

// panickingStore is a real store that panics over one batch.
type panickingStore struct {
	*store.Store
	bad   batch.Ref
	calls atomic.Int32
}

func (s *panickingStore) DispatchBatch(ctx context.Context, ref batch.Ref) (batch.Batch, execution.Change, error) {
	if ref == s.bad {
		s.calls.Add(1)
		panic("on purpose")
	}
	return s.Store.DispatchBatch(ctx, ref)
}

func TestFailingBatchDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := &panickingStore{Store: f.store, bad: f.submit(1)} // due before the good one
	good := f.submit(3)
	f.startDispatcher(s)
	f.runUntilFinished(good)
	require.Positive(t, s.calls.Load())
}

// More batches than a page has cannot be decoded. Those of another tenant behind them are dispatched.
func TestDocumentsThatCannotBeDecodedDoNotBlockOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.clock.Advance(time.Minute)
	for i := range pageSize + 5 {
		doc := f.firestore.Client.Doc(fmt.Sprintf("tenants/bob/batches/bat_%d", i))
		_, err := doc.Create(t.Context(), map[string]any{"id": 7, "total": "not a number", "due": f.clock.Now().Add(-time.Minute)})
		require.NoError(t, err)
	}
	good := f.submit(3)
	f.startDispatcher(f.store)
	f.runUntilFinished(good)
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
			ref := f.submit(test.total)
			lost := map[int]bool{}
			for _, first := range test.lost {
				f.deleteChunk(ref, first)
				for i := first; i < min(first+chunk, test.total); i++ {
					lost[i] = true
				}
			}
			f.startDispatcher(f.store)
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
	ref := f.submit(window)
	_, dispatched, err := f.store.DispatchBatch(t.Context(), ref)
	require.NoError(t, err)
	require.Len(t, dispatched.Notify, window)
	_, err = f.store.CancelBatch(t.Context(), ref)
	require.NoError(t, err)
	d := f.newDispatcher(f.store, f)
	bad := dispatched.Notify[0]
	d.config.Executions = uncancelable{f.store, bad}
	require.ErrorContains(t, d.dispatch(t.Context(), ref), bad.ID, "the batch is tried again")
	inFlight, err := f.store.BatchInFlight(t.Context(), ref, new(store.Scan), window)
	require.NoError(t, err)
	require.Equal(t, []execution.Ref{bad}, inFlight)
}

// Canceling a batch cancels its queued executions at once and asks the executors of running ones to stop.
func TestCanceledBatchFinishes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit(50)
	f.startDispatcher(f.store)
	running := <-f.queued
	_, err := f.store.Apply(t.Context(), running, execution.Claimed{Executor: "x", Lease: time.Hour})
	require.NoError(t, err)
	_, err = f.store.CancelBatch(t.Context(), ref)
	require.NoError(t, err)

	require.Eventually(t, func() bool {
		e, err := f.store.Execution(t.Context(), running)
		return err == nil && e.CancelRequested
	}, waitTimeout, interval)
	b, now, err := f.store.Batch(t.Context(), ref)
	require.NoError(t, err)
	require.Nil(t, b.FinishedAt, "one execution still runs")
	ch, err := f.store.Apply(t.Context(), running, execution.JobEnded{Attempt: 1, Ending: execution.NewCanceledFailure().Ending(execution.Usage{})})
	require.NoError(t, err)
	f.dispatchers[0].OnExecutionFinished(ch.Execution)

	require.Eventually(t, func() bool {
		b, now, err = f.store.Batch(t.Context(), ref)
		return err == nil && b.FinishedAt != nil
	}, waitTimeout, interval)
	counts, cost, err := f.store.BatchCounts(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, 50, b.Progress(counts, cost, now).ByStatus[execution.Canceled])
	_, err = f.store.CancelBatch(t.Context(), ref)
	require.ErrorIs(t, err, execution.ErrTerminal)
}

func TestBatchOfOtherTenantIsNotFound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit(1)
	ref.Tenant = "bob"
	var notFound *store.NotFoundError
	_, _, err := f.store.Batch(t.Context(), ref)
	require.ErrorAs(t, err, &notFound)
	require.Equal(t, "batch", notFound.Resource)
	_, err = f.store.CancelBatch(t.Context(), ref)
	require.ErrorAs(t, err, &notFound)
}
