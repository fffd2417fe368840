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
	owner    = "ada"
	lease    = 15 * time.Second
	patience = 20 * time.Second
	interval = 10 * time.Millisecond
)

var claim = execution.Claimed{Executor: "x1", Lease: lease}

// world is a real store over Firestore, whose clock the test advances, and a
// bell that the test hears.
type world struct {
	t         *testing.T
	firestore *emulatortest.Firestore
	clock     *emulatortest.Clock
	store     *store.Store
	rung      chan execution.Change
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := new(emulatortest.Clock)
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	return &world{t: t, firestore: f, clock: clock, store: store.New(f.Client), rung: make(chan execution.Change, 1000)}
}

// Tell is the bell's.
func (w *world) Tell(_ context.Context, ch execution.Change) error {
	w.rung <- ch
	return nil
}

// start runs a janitor until the test ends.
func (w *world) start(s Store) {
	w.t.Helper()
	w.run(w.leader(s))
}

// leader is a janitor under the name that leads in tests that are not about leading.
func (w *world) leader(s Store) *Janitor {
	j := New(s, w, Expiry{}, interval, zaptest.NewLogger(w.t))
	j.name = "leader"
	return j
}

// run runs a janitor until the test ends or stop is called.
func (w *world) run(j *Janitor) (stop func()) {
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
func (w *world) sweep(s Store) error {
	return w.leader(s).sweep(w.t.Context())
}

func (w *world) submit() execution.Ref {
	w.t.Helper()
	a := agent.Agent{Owner: owner, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.store.CreateAgent(w.t.Context(), &a))
	ch, err := w.store.SubmitRun(w.t.Context(), store.Run{Owner: owner, AgentID: a.ID, Input: "x"})
	require.NoError(w.t, err)
	return ch.Execution.Ref()
}

func (w *world) apply(ref execution.Ref, ev execution.Event) {
	w.t.Helper()
	_, err := w.store.Apply(w.t.Context(), ref, ev)
	require.NoError(w.t, err)
}

func (w *world) stored(ref execution.Ref) execution.Execution {
	w.t.Helper()
	e, err := w.store.Execution(w.t.Context(), ref)
	require.NoError(w.t, err)
	return e
}

func (w *world) next() execution.Change {
	w.t.Helper()
	select {
	case ch := <-w.rung:
		return ch
	case <-time.After(patience):
		require.FailNow(w.t, "the bell was not rung")
		panic("not reached")
	}
}

func TestWhatNobodyHeardIsAnnouncedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.submit()
	require.NoError(t, w.sweep(w.store))
	require.Empty(t, w.rung, "it has not waited long enough")
	w.clock.Advance(46 * time.Second)
	w.start(w.store)
	ch := w.next()
	require.Equal(t, []execution.Ref{ref}, ch.Announce)
	e := w.stored(ref)
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.Spent, "it costs no attempt")

	w.clock.Advance(46 * time.Second)
	require.Equal(t, []execution.Ref{ref}, w.next().Announce, "and again")
	w.clock.Advance(execution.DefaultQueueTimeout)
	require.Empty(t, w.next().Announce)
	require.Equal(t, execution.CodeQueueTimeout, w.stored(ref).Failure.Code, "but not for ever")
}

func TestALostLeaseIsRequeued(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.submit()
	w.apply(ref, claim)
	require.NoError(t, w.sweep(w.store))
	require.Empty(t, w.rung, "its executor lives")
	w.clock.Advance(lease + time.Second)
	w.start(w.store)
	ch := w.next()
	require.Equal(t, []execution.Ref{ref}, ch.Announce)
	e := w.stored(ref)
	require.Equal(t, execution.Queued, e.Status)
	require.Equal(t, 1, e.Spent)
	require.Nil(t, e.Lease)
}

func TestABackOffIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.submit()
	w.apply(ref, claim)
	w.apply(ref, execution.Broke{Attempt: 1})
	require.NoError(t, w.sweep(w.store))
	require.Empty(t, w.rung)
	w.clock.Advance(2 * time.Second)
	require.NoError(t, w.sweep(w.store))
	require.Equal(t, []execution.Ref{ref}, w.next().Announce)
	require.Equal(t, 1, w.stored(ref).Spent, "the back-off itself costs no attempt")
}

func TestWhatLosesItsLeaseTooOftenFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
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
	for len(w.rung) > 0 {
		last = <-w.rung
	}
	require.Empty(t, last.Announce)
	require.Equal(t, execution.Failed, last.Execution.Status, "who waits for it is told")
	w.clock.Advance(time.Hour)
	require.NoError(t, w.sweep(w.store))
	require.Empty(t, w.rung, "it is never due again")
}

// Its executor died before it could end the job.
func TestACancelledExecutionWhoseLeaseIsLostEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.submit()
	w.apply(ref, claim)
	w.apply(ref, execution.CancelAsked{})
	w.clock.Advance(lease + time.Second)
	require.NoError(t, w.sweep(w.store))
	require.Equal(t, execution.Canceled, w.stored(ref).Status)
}

// A turn that the janitor ends has its reply, and the next turn is announced.
func TestATurnThatFailsGivesWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.store.SubmitTurn(t.Context(), store.Turn{Owner: owner, Message: "1"})
	require.NoError(t, err)
	second, err := w.store.SubmitTurn(t.Context(), store.Turn{Owner: owner, ConversationID: first.Execution.ConversationID, Message: "2"})
	require.NoError(t, err)
	for range execution.DefaultMaxAttempts {
		w.apply(first.Execution.Ref(), claim)
		w.clock.Advance(lease + time.Second)
		require.NoError(t, w.sweep(w.store))
	}
	announced := false
	for len(w.rung) > 0 {
		ch := <-w.rung
		announced = announced || ch.Execution.ID == first.Execution.ID && ch.Execution.Status == execution.Failed &&
			len(ch.Announce) == 1 && ch.Announce[0] == second.Execution.Ref()
	}
	require.True(t, announced)
}

// spoilt is the real store, where one execution cannot be put right.
type spoilt struct {
	*store.Store
	bad  execution.Ref
	seen atomic.Int32
}

func (s *spoilt) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if ref == s.bad {
		if s.seen.Add(1)%2 == 0 {
			panic("on purpose")
		}
		return execution.Change{}, errors.New("on purpose")
	}
	return s.Store.Apply(ctx, ref, ev)
}

func TestOneBadExecutionDoesNotStopTheSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := w.submit() // due first
	var good []execution.Ref
	for range 3 {
		good = append(good, w.submit())
	}
	w.clock.Advance(46 * time.Second)
	s := &spoilt{Store: w.store, bad: bad}
	err := w.sweep(s)
	require.ErrorContains(t, err, bad.ID, "it is reported")
	var announced []execution.Ref
	for range good {
		announced = append(announced, w.next().Announce...)
	}
	require.ElementsMatch(t, good, announced)

	w.start(s)
	require.Eventually(t, func() bool { return s.seen.Load() > 2 }, patience, interval, "it is tried again, also after a panic")
}

// As many as one query returns cannot hide what is due behind them.
func TestManyBadExecutionsDoNotHideAGoodOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := map[execution.Ref]bool{}
	for range sweepPage {
		bad[w.submit()] = true
	}
	good := w.submit() // due last
	w.clock.Advance(46 * time.Second)
	require.Error(t, w.sweep(&ruined{Store: w.store, bad: bad}))
	require.Equal(t, []execution.Ref{good}, w.next().Announce)
}

// ruined is the real store, where many executions cannot be put right.
type ruined struct {
	*store.Store
	bad map[execution.Ref]bool
}

func (s *ruined) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if s.bad[ref] {
		return execution.Change{}, errors.New("on purpose")
	}
	return s.Store.Apply(ctx, ref, ev)
}

func TestMoreThanOneQueryReturns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.submit()
	turns := sweepPage + 5
	for i := range turns - 1 {
		_, err := w.store.SubmitTurn(t.Context(), store.Turn{Owner: fmt.Sprint("tenant", i), Message: "x"})
		require.NoError(t, err)
	}
	w.clock.Advance(46 * time.Second)
	require.NoError(t, w.sweep(w.store))
	require.Len(t, w.rung, turns)
	first := map[string]bool{}
	for range sweepPage {
		first[w.next().Execution.ID] = true
	}
	require.Contains(t, first, ref.ID, "longest due first")
}

func TestTwoJanitorsDoEachThingOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
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
	require.Len(t, w.rung, many)
	for range many {
		ch := w.next()
		e := w.stored(ch.Execution.Ref())
		require.Equal(t, execution.Queued, e.Status)
		require.Equal(t, e.Attempt, e.Spent, "a lease is lost once")
	}
}

func TestTheSweepGoesOnOnceTheStoreIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.submit()
	w.clock.Advance(46 * time.Second)
	w.firestore.Away()
	w.start(w.store)
	w.firestore.Back()
	require.Equal(t, ref.ID, w.next().Execution.ID)
}
