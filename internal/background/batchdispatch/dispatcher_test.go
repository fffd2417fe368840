package batchdispatch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	waitTimeout = 30 * time.Second
	interval    = 10 * time.Millisecond
)

// world is a real store, and executors that end what is announced to them.
type fixture struct {
	t     *testing.T
	clock *emulatortest.Clock
	store *store.Store

	mu          sync.Mutex
	published   map[execution.Ref]int // announcements
	queued      chan execution.Ref    // announced and not yet taken by work
	dispatchers []*Dispatcher
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	clock := new(emulatortest.Clock)
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	return &fixture{t: t, clock: clock, store: store.New(f.Client), published: map[execution.Ref]int{}, queued: make(chan execution.Ref, 10_000)}
}

// Tell is the bell's.
func (w *fixture) Publish(_ context.Context, ch execution.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ref := range ch.Notify {
		w.published[ref]++
		w.queued <- ref
	}
	return nil
}

// feed starts a feeder on a store, which may be a spoilt one.
func (w *fixture) startDispatcher(s Store) {
	f := New(s, w, interval, zaptest.NewLogger(w.t))
	w.dispatchers = append(w.dispatchers, f)
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return f.Run(ctx) })
	w.t.Cleanup(func() {
		cancel()
		require.NoError(w.t, running.Wait())
	})
}

func (w *fixture) submit(total int) batch.Ref {
	w.t.Helper()
	ctx := w.t.Context()
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.store.CreateAgent(ctx, &a))
	b := batch.Batch{ID: id.New(id.Batch), Tenant: tenant, AgentID: a.ID, Total: total, Window: window}
	inputs := w.store.NewBatchInputWriter(b.Ref())
	for i := range total {
		require.NoError(w.t, inputs.Add(ctx, batch.Input{Text: fmt.Sprint("input ", i)}))
	}
	require.NoError(w.t, inputs.Flush(ctx))
	require.NoError(w.t, w.store.SubmitBatch(ctx, &b))
	return b.Ref()
}

// work brings announced executions to their end until the batch has ended. It
// returns the most that were announced and not ended at once.
func (w *fixture) runUntilFinished(ref batch.Ref) (maxQueued int) {
	w.t.Helper()
	deadline := time.After(waitTimeout)
	for {
		select {
		case one := <-w.queued:
			maxQueued = max(maxQueued, len(w.queued)+1)
			w.finishExecution(one)
		case <-time.After(interval):
			if b, _, err := w.store.Batch(w.t.Context(), ref); err == nil && b.FinishedAt != nil {
				return maxQueued
			}
		case <-deadline:
			w.t.Fatal("the batch does not end")
		}
	}
}

func (w *fixture) finishExecution(ref execution.Ref) {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := w.store.Apply(ctx, ref, execution.Claimed{Executor: "x", Lease: time.Minute})
	require.NoError(w.t, err)
	ch, err := w.store.Apply(ctx, ref, execution.Finished{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{Text: "done"}, Usage: execution.Usage{CostUSD: 0.5},
	}})
	require.NoError(w.t, err)
	for _, f := range w.dispatchers {
		f.OnExecutionFinished(ch.Execution)
	}
}

// Every input becomes one execution, announced once, and no more than the
// window of them wait at once, whether one feeder is at work or three.
func TestBatchIsDispatchedThroughWindow(t *testing.T) {
	for _, dispatchers := range []int{1, 3} {
		t.Run(fmt.Sprint(dispatchers), func(t *testing.T) {
			t.Parallel()
			w := newFixture(t)
			for range dispatchers {
				w.startDispatcher(w.store)
			}
			const total = 60
			ref := w.submit(total)
			require.LessOrEqual(t, w.runUntilFinished(ref), window)

			require.Len(t, w.published, total)
			for ref, n := range w.published {
				require.Equal(t, 1, n, ref.ID)
			}
			b, _, err := w.store.Batch(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, total, b.NextInput)
			require.Nil(t, b.Due)
			for first := 0; first < total; first += 20 {
				page, err := w.store.BatchExecutions(t.Context(), &b, first, 20)
				require.NoError(t, err)
				require.Len(t, page, 20)
				for i, e := range page {
					require.Equal(t, fmt.Sprint("input ", first+i), e.Task.Input, "in input order")
				}
			}
			counts, cost, err := w.store.BatchCounts(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, total, counts[execution.Succeeded])
			require.InDelta(t, total*0.5, cost, 1e-6)
		})
	}
}

// Inputs of more than one document are fed in order, one document at a time.
func TestInputsInSeveralDocumentsStayInOrder(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ctx := t.Context()
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, w.store.CreateAgent(ctx, &a))
	b := batch.Batch{ID: id.New(id.Batch), Tenant: tenant, AgentID: a.ID, Window: 1000}
	inputs := w.store.NewBatchInputWriter(b.Ref())
	large := strings.Repeat("x", 200<<10)
	for i := range 300 {
		text := fmt.Sprint("input ", i)
		if i >= 290 {
			text += large // three of them are more than one document
		}
		require.NoError(t, inputs.Add(ctx, batch.Input{Text: text}))
	}
	require.NoError(t, inputs.Flush(ctx))
	b.Total = inputs.Len()
	require.Equal(t, 300, b.Total)
	require.NoError(t, w.store.SubmitBatch(ctx, &b))

	next := 0
	for next < b.Total {
		_, ch, err := w.store.DispatchBatch(ctx, b.Ref())
		require.NoError(t, err)
		require.NotEmpty(t, ch.Notify)
		for _, ref := range ch.Notify {
			e, err := w.store.Execution(ctx, ref)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("input ", next), strings.TrimSuffix(e.Task.Input, large))
			next++
		}
	}
	_, ch, err := w.store.DispatchBatch(ctx, b.Ref())
	require.NoError(t, err)
	require.Empty(t, ch.Notify)

	dropped := w.store.NewBatchInputWriter(b.Ref())
	require.NoError(t, dropped.Delete(ctx))
	require.NoError(t, dropped.Delete(ctx), "again changes nothing")
}

// spoilt is the real store, which fails now and then, also after it has done what it was asked.
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

// A feeder whose answers get lost makes nothing twice. What it could not
// announce, the janitor does.
func TestLostResponsesCreateNoDuplicates(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	w.startDispatcher(&faultyStore{Store: w.store})
	const total = 40
	ref := w.submit(total)
	stop := make(chan struct{})
	var republishing sync.WaitGroup
	republishing.Go(func() { // in place of the janitor
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			inFlight, err := w.store.BatchInFlight(context.Background(), ref, total)
			if err != nil {
				continue
			}
			for _, one := range inFlight {
				w.queued <- one
			}
		}
	})
	deadline := time.After(waitTimeout)
	for ended := map[execution.Ref]bool{}; len(ended) < total; {
		select {
		case one := <-w.queued:
			if !ended[one] {
				w.finishExecution(one)
				ended[one] = true
			}
		case <-deadline:
			t.Fatal("not all of it runs")
		}
	}
	close(stop)
	republishing.Wait()
	require.Eventually(t, func() bool {
		b, _, err := w.store.Batch(t.Context(), ref)
		return err == nil && b.FinishedAt != nil
	}, waitTimeout, interval)
}

// rotten is the real store, which panics over one batch.
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
	w := newFixture(t)
	s := &panickingStore{Store: w.store, bad: w.submit(1)} // due first
	good := w.submit(3)
	w.startDispatcher(s)
	w.runUntilFinished(good)
	require.Positive(t, s.calls.Load())
}

// Cancelling a batch ends what is queued and asks for what runs to be ended.
func TestCanceledBatchFinishes(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit(50)
	w.startDispatcher(w.store)
	running := <-w.queued
	_, err := w.store.Apply(t.Context(), running, execution.Claimed{Executor: "x", Lease: time.Hour})
	require.NoError(t, err)
	_, err = w.store.CancelBatch(t.Context(), ref)
	require.NoError(t, err)

	require.Eventually(t, func() bool {
		e, err := w.store.Execution(t.Context(), running)
		return err == nil && e.CancelRequested
	}, waitTimeout, interval)
	b, now, err := w.store.Batch(t.Context(), ref)
	require.NoError(t, err)
	require.Nil(t, b.FinishedAt, "one still runs")
	ch, err := w.store.Apply(t.Context(), running, execution.Finished{Attempt: 1, Ending: execution.NewCanceledFailure().Ending(execution.Usage{})})
	require.NoError(t, err)
	w.dispatchers[0].OnExecutionFinished(ch.Execution)

	require.Eventually(t, func() bool {
		b, now, err = w.store.Batch(t.Context(), ref)
		return err == nil && b.FinishedAt != nil
	}, waitTimeout, interval)
	counts, cost, err := w.store.BatchCounts(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, 50, b.Progress(counts, cost, now).ByStatus[execution.Canceled])
	_, err = w.store.CancelBatch(t.Context(), ref)
	require.ErrorIs(t, err, execution.ErrTerminal)
}

func TestBatchOfOtherTenantIsNotFound(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit(1)
	ref.Tenant = "bob"
	var notFound *store.NotFoundError
	_, _, err := w.store.Batch(t.Context(), ref)
	require.ErrorAs(t, err, &notFound)
	require.Equal(t, "batch", notFound.Resource)
	_, err = w.store.CancelBatch(t.Context(), ref)
	require.ErrorAs(t, err, &notFound)
}
