package janitor

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	tenant      = "ada"
	lease       = 15 * time.Second
	waitTimeout = 20 * time.Second
	interval    = 10 * time.Millisecond
)

var claim = execution.Claimed{Executor: "x1", Lease: lease}

// world is a real store over Firestore, whose clock the test advances, and a
// bell that the test hears.
type fixture struct {
	t         *testing.T
	firestore *emulatortest.Firestore
	clock     *emulatortest.Clock
	store     *store.Store
	published chan execution.Change
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	clock := new(emulatortest.Clock)
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	return &fixture{t: t, firestore: f, clock: clock, store: store.New(f.Client), published: make(chan execution.Change, 1000)}
}

// Tell is the bell's.
func (w *fixture) Publish(_ context.Context, ch execution.Change) error {
	w.published <- ch
	return nil
}

// start runs a janitor until the test ends.
func (w *fixture) start(s Store) {
	w.t.Helper()
	w.run(w.newLeader(s))
}

// leader is a janitor under the name that leads in tests that are not about leading.
func (w *fixture) newLeader(s Store) *Janitor {
	j := New(s, w, Retention{}, interval, zaptest.NewLogger(w.t))
	j.name = "leader"
	return j
}

// run runs a janitor until the test ends or stop is called.
func (w *fixture) run(j *Janitor) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return j.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(w.t, running.Wait())
	})
	w.t.Cleanup(stop)
	return stop
}

// sweep looks once at everything that is due.
func (w *fixture) sweep(s Store) error {
	return w.newLeader(s).sweep(w.t.Context())
}

func (w *fixture) submit() execution.Ref {
	w.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.store.CreateAgent(w.t.Context(), &a))
	ch, err := w.store.SubmitRun(w.t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x"})
	require.NoError(w.t, err)
	return ch.Execution.Ref()
}

func (w *fixture) apply(ref execution.Ref, ev execution.Event) {
	w.t.Helper()
	_, err := w.store.Apply(w.t.Context(), ref, ev)
	require.NoError(w.t, err)
}

func (w *fixture) stored(ref execution.Ref) execution.Execution {
	w.t.Helper()
	e, err := w.store.Execution(w.t.Context(), ref)
	require.NoError(w.t, err)
	return e
}

func (w *fixture) next() execution.Change {
	w.t.Helper()
	select {
	case ch := <-w.published:
		return ch
	case <-time.After(waitTimeout):
		require.FailNow(w.t, "the bell was not rung")
		panic("not reached")
	}
}

func TestUnclaimedExecutionIsPublishedAgain(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit()
	require.NoError(t, w.sweep(w.store))
	require.Empty(t, w.published, "it has not waited long enough")
	w.clock.Advance(46 * time.Second)
	w.start(w.store)
	ch := w.next()
	require.Equal(t, []execution.Ref{ref}, ch.Notify)
	e := w.stored(ref)
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.FailedAttempts, "it costs no attempt")

	w.clock.Advance(46 * time.Second)
	require.Equal(t, []execution.Ref{ref}, w.next().Notify, "and again")
	w.clock.Advance(execution.DefaultQueueTimeout)
	require.Empty(t, w.next().Notify)
	require.Equal(t, execution.CodeQueueTimeout, w.stored(ref).Failure.Code, "but not for ever")
}

func TestLostLeaseIsRequeued(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit()
	w.apply(ref, claim)
	require.NoError(t, w.sweep(w.store))
	require.Empty(t, w.published, "its executor lives")
	w.clock.Advance(lease + time.Second)
	w.start(w.store)
	ch := w.next()
	require.Equal(t, []execution.Ref{ref}, ch.Notify)
	e := w.stored(ref)
	require.Equal(t, execution.Queued, e.Status)
	require.Equal(t, 1, e.FailedAttempts)
	require.Nil(t, e.Lease)
}

func TestBackOffIsRespected(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit()
	w.apply(ref, claim)
	w.apply(ref, execution.AttemptFailed{Attempt: 1})
	require.NoError(t, w.sweep(w.store))
	require.Empty(t, w.published)
	w.clock.Advance(2 * time.Second)
	require.NoError(t, w.sweep(w.store))
	require.Equal(t, []execution.Ref{ref}, w.next().Notify)
	require.Equal(t, 1, w.stored(ref).FailedAttempts, "the back-off itself costs no attempt")
}

func TestLeaseLostTooOftenFailsExecution(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit()
	for range execution.DefaultMaxAttempts {
		w.apply(ref, claim)
		w.clock.Advance(lease + time.Second)
		require.NoError(t, w.sweep(w.store))
	}
	e := w.stored(ref)
	require.Equal(t, execution.Failed, e.Status)
	require.Equal(t, execution.CodeAttemptsExhausted, e.Failure.Code)
	var last execution.Change
	for len(w.published) > 0 {
		last = <-w.published
	}
	require.Empty(t, last.Notify)
	require.Equal(t, execution.Failed, last.Execution.Status, "who waits for it is told")
	w.clock.Advance(time.Hour)
	require.NoError(t, w.sweep(w.store))
	require.Empty(t, w.published, "it is never due again")
}

// Its executor died before it could end the job.
func TestCanceledExecutionWithLostLeaseFinishes(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit()
	w.apply(ref, claim)
	w.apply(ref, execution.CancelRequested{})
	w.clock.Advance(lease + time.Second)
	require.NoError(t, w.sweep(w.store))
	require.Equal(t, execution.Canceled, w.stored(ref).Status)
}

// A turn that the janitor ends has its reply, and the next turn is announced.
func TestFailedTurnStartsNextTurn(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	first, err := w.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: tenant, Message: "1"})
	require.NoError(t, err)
	second, err := w.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: tenant, ConversationID: first.Execution.ConversationID, Message: "2"})
	require.NoError(t, err)
	for range execution.DefaultMaxAttempts {
		w.apply(first.Execution.Ref(), claim)
		w.clock.Advance(lease + time.Second)
		require.NoError(t, w.sweep(w.store))
	}
	announced := false
	for len(w.published) > 0 {
		ch := <-w.published
		announced = announced || ch.Execution.ID == first.Execution.ID && ch.Execution.Status == execution.Failed &&
			len(ch.Notify) == 1 && ch.Notify[0] == second.Execution.Ref()
	}
	require.True(t, announced)
}

// spoilt is the real store, where one execution cannot be put right.
type faultyStore struct {
	*store.Store
	bad   execution.Ref
	calls atomic.Int32
}

func (s *faultyStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if ref == s.bad {
		if s.calls.Add(1)%2 == 0 {
			panic("on purpose")
		}
		return execution.Change{}, errors.New("on purpose")
	}
	return s.Store.Apply(ctx, ref, ev)
}

func TestOneBadExecutionDoesNotStopTheSweep(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	bad := w.submit() // due first
	var good []execution.Ref
	for range 3 {
		good = append(good, w.submit())
	}
	w.clock.Advance(46 * time.Second)
	s := &faultyStore{Store: w.store, bad: bad}
	err := w.sweep(s)
	require.ErrorContains(t, err, bad.ID, "it is reported")
	var announced []execution.Ref
	for range good {
		announced = append(announced, w.next().Notify...)
	}
	require.ElementsMatch(t, good, announced)

	w.start(s)
	require.Eventually(t, func() bool { return s.calls.Load() > 2 }, waitTimeout, interval, "it is tried again, also after a panic")
}

// As many as one query returns cannot hide what is due behind them.
func TestManyBadExecutionsDoNotBlockOthers(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	bad := map[execution.Ref]bool{}
	for range sweepPageSize {
		bad[w.submit()] = true
	}
	good := w.submit() // due last
	w.clock.Advance(46 * time.Second)
	require.Error(t, w.sweep(&multiFaultyStore{Store: w.store, bad: bad}))
	require.Equal(t, []execution.Ref{good}, w.next().Notify)
}

// ruined is the real store, where many executions cannot be put right.
type multiFaultyStore struct {
	*store.Store
	bad map[execution.Ref]bool
}

func (s *multiFaultyStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if s.bad[ref] {
		return execution.Change{}, errors.New("on purpose")
	}
	return s.Store.Apply(ctx, ref, ev)
}

func TestSweepReadsSeveralPages(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit()
	turns := sweepPageSize + 5
	for i := range turns - 1 {
		_, err := w.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: fmt.Sprint("tenant", i), Message: "x"})
		require.NoError(t, err)
	}
	w.clock.Advance(46 * time.Second)
	require.NoError(t, w.sweep(w.store))
	require.Len(t, w.published, turns)
	first := map[string]bool{}
	for range sweepPageSize {
		first[w.next().Execution.ID] = true
	}
	require.Contains(t, first, ref.ID, "longest due first")
}

func TestTwoJanitorsRepairEachExecutionOnce(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	const many = 20
	for i := range many {
		ref := w.submit()
		if i%2 == 0 {
			w.apply(ref, claim)
		}
	}
	w.clock.Advance(46 * time.Second)
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		both.Go(func() { errs[i] = w.sweep(w.store) })
	}
	both.Wait()
	for _, err := range errs {
		if err != nil { // the two were in each other's way, which another sweep mends
			require.ErrorIs(t, err, store.ErrUnavailable)
		}
	}
	require.NoError(t, w.sweep(w.store))
	require.Len(t, w.published, many)
	for range many {
		ch := w.next()
		e := w.stored(ch.Execution.Ref())
		require.Equal(t, execution.Queued, e.Status)
		require.Equal(t, e.Attempt, e.FailedAttempts, "a lease is lost once")
	}
}

func TestSweepResumesAfterStoreOutage(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	ref := w.submit()
	w.clock.Advance(46 * time.Second)
	w.firestore.Stop()
	w.start(w.store)
	w.firestore.Start()
	require.Equal(t, ref.ID, w.next().Execution.ID)
}
