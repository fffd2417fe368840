package janitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	ada         = "ada"
	session     = "prc_x.1"
	waitTimeout = 2 * time.Minute // only a failing test waits this long
	interval    = 10 * time.Millisecond
)

var claim = execution.Claimed{Executor: "x1", Session: session}

// fixture has a real store over an emulator whose clock the test advances. It is the publisher as well: published
// receives each change.
type fixture struct {
	startable []string // runtimes that executors can start; nil: not known
	t         *testing.T
	firestore *emulatortest.Firestore
	clock     *emulatortest.Clock
	store     *store.Store
	published chan execution.Change
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	clock := new(emulatortest.Clock)
	firestore := strict.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	return &fixture{t: t, firestore: firestore, clock: clock, store: store.New(firestore.Client), published: make(chan execution.Change, 1000)}
}

func (f *fixture) Publish(_ context.Context, ch execution.Change) error {
	f.published <- ch
	return nil
}

// testStore is what a janitor needs of a store.
type testStore interface {
	Store
	Applier
}

// start runs a janitor until the test ends.
func (f *fixture) start(s testStore) {
	f.t.Helper()
	f.run(f.newJanitor(s, Retention{}))
}

func (f *fixture) newJanitor(s testStore, r Retention) *Janitor {
	return New(Config{
		Store: s, Executions: s, Publisher: f, Retention: r, Interval: interval, Log: zaptest.NewLogger(f.t, zaptest.Level(zap.WarnLevel)),
		OnFinished: func(execution.Execution) {}, StartableRuntimes: func(context.Context) []string { return f.startable },
	})
}

// run runs a janitor until the test ends or stop is called.
func (f *fixture) run(j *Janitor) (stop func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return j.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(f.t, running.Wait())
	})
	f.t.Cleanup(stop)
	return stop
}

// sweep repairs once all executions that are due.
func (f *fixture) sweep(s testStore) error {
	_, err := f.newJanitor(s, Retention{}).sweep(f.t.Context())
	return err
}

// reap queues again what the session of the tests holds.
func (f *fixture) reap() {
	f.t.Helper()
	require.NoError(f.t, f.newJanitor(f.store, Retention{}).Reap(f.t.Context(), fleet.Session{ID: session}))
}

func (f *fixture) submit() execution.Ref {
	f.t.Helper()
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(f.t, f.store.CreateAgent(f.t.Context(), &a, nil))
	ch, err := f.store.SubmitRun(f.t.Context(), store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
	require.NoError(f.t, err)
	return ch.Execution.Ref()
}

func (f *fixture) apply(ref execution.Ref, ev execution.Event) {
	f.t.Helper()
	_, err := f.store.Apply(f.t.Context(), ref, ev)
	require.NoError(f.t, err)
}

func (f *fixture) stored(ref execution.Ref) execution.Execution {
	f.t.Helper()
	e, err := f.store.Execution(f.t.Context(), ref)
	require.NoError(f.t, err)
	return e
}

// spoil makes the document of an execution impossible to decode.
func (f *fixture) spoil(ref execution.Ref) {
	f.t.Helper()
	doc := f.firestore.Client.Doc("tenants/" + ref.Tenant + "/executions/" + ref.ID)
	_, err := doc.Update(f.t.Context(), []firestore.Update{{Path: "attempt", Value: "not a number"}, {Path: "id", Value: 7}})
	require.NoError(f.t, err)
}

func (f *fixture) next() execution.Change {
	f.t.Helper()
	select {
	case ch := <-f.published:
		return ch
	case <-time.After(waitTimeout):
		require.FailNow(f.t, "nothing was published")
		panic("unreachable")
	}
}

func TestUnclaimedExecutionIsPublishedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit()
	require.NoError(t, f.sweep(f.store))
	require.Empty(t, f.published, "it is not due yet")
	f.clock.Advance(46 * time.Second)
	f.start(f.store)
	ch := f.next()
	require.Equal(t, []execution.Ref{ref}, refsOf(ch))
	e := f.stored(ref)
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.FailedAttempts, "it uses up no attempt")

	f.clock.Advance(46 * time.Second)
	require.Equal(t, []execution.Ref{ref}, refsOf(f.next()), "it is published again and again")
	f.clock.Advance(execution.DefaultQueueTimeout)
	require.Empty(t, f.next().Notify)
	require.Equal(t, execution.CodeQueueTimeout, f.stored(ref).Failure.Code, "until its queue time-out")
}

// What no living executor can start ends with a code of its own.
func TestExecutionWithoutExecutorEndsAsNoExecutor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startable = []string{"another"}
	ref := f.submit()
	f.clock.Advance(46 * time.Second)
	require.NoError(t, f.sweep(f.store))
	require.Equal(t, []execution.Ref{ref}, refsOf(f.next()), "it waits until its queue time-out")
	f.clock.Advance(execution.DefaultQueueTimeout)
	require.NoError(t, f.sweep(f.store))
	e := f.stored(ref)
	require.Equal(t, execution.Failed, e.Status)
	require.Equal(t, execution.CodeNoExecutor, e.Failure.Code)
	require.Contains(t, e.Failure.Message, "offline")
}

type failingPublisher struct{}

func (failingPublisher) Publish(context.Context, execution.Change) error {
	return errors.New("on purpose")
}

// A failed Publish is not a failed repair: the execution is published when it is due the next time.
func TestFailedPublishIsRepeatedWhenDue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit()
	f.clock.Advance(46 * time.Second)
	j := f.newJanitor(f.store, Retention{})
	j.config.Publisher = failingPublisher{}
	_, err := j.sweep(t.Context())
	require.NoError(t, err)
	f.clock.Advance(2 * time.Minute) // it is due again after as long as it has waited: 46 s and what the test took
	require.NoError(t, f.sweep(f.store))
	require.Equal(t, []execution.Ref{ref}, refsOf(f.next()))
}

func TestBackOffIsRespected(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit()
	f.apply(ref, claim)
	f.apply(ref, execution.AttemptFailed{Session: session, Attempt: 1})
	require.NoError(t, f.sweep(f.store))
	require.Empty(t, f.published)
	f.clock.Advance(2 * time.Second)
	require.NoError(t, f.sweep(f.store))
	require.Equal(t, []execution.Ref{ref}, refsOf(f.next()))
	require.Equal(t, 1, f.stored(ref).FailedAttempts, "the end of the back-off uses up no attempt")
}

func TestLeaseLostTooOftenFailsExecution(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit()
	for range execution.DefaultMaxAttempts {
		f.apply(ref, claim)
		f.reap()
	}
	e := f.stored(ref)
	require.Equal(t, execution.Failed, e.Status)
	require.Equal(t, execution.CodeAttemptsExhausted, e.Failure.Code)
	var last execution.Change
	for len(f.published) > 0 {
		last = <-f.published
	}
	require.Empty(t, last.Notify)
	require.Equal(t, execution.Failed, last.Execution.Status, "watchers are notified")
	f.clock.Advance(time.Hour)
	require.NoError(t, f.sweep(f.store))
	require.Empty(t, f.published, "an ended execution is never due")
}

// The executor died before it could cancel the job.
func TestCanceledExecutionWithLostLeaseFinishes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit()
	f.apply(ref, claim)
	f.apply(ref, execution.CancelRequested{})
	f.reap()
	require.Equal(t, execution.Canceled, f.stored(ref).Status)
}

// When the janitor ends a turn, the next turn of the conversation is published.
func TestFailedTurnStartsNextTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, err := f.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, Message: "1"})
	require.NoError(t, err)
	second, err := f.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, ConversationID: first.Execution.ConversationID, Message: "2"})
	require.NoError(t, err)
	for range execution.DefaultMaxAttempts {
		f.apply(first.Execution.Ref(), claim)
		f.reap()
	}
	published := false
	for len(f.published) > 0 {
		ch := <-f.published
		published = published || ch.Execution.ID == first.Execution.ID && ch.Execution.Status == execution.Failed &&
			len(ch.Notify) == 1 && ch.Notify[0] == second.Execution.Runnable()
	}
	require.True(t, published)
}

// faultyStore is a real store in which one execution cannot be repaired.
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

func TestFailingExecutionDoesNotStopSweep(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad := f.submit() // due before the others
	var good []execution.Ref
	for range 3 {
		good = append(good, f.submit())
	}
	f.clock.Advance(46 * time.Second)
	s := &faultyStore{Store: f.store, bad: bad}
	failures := testutil.ToFloat64(metrics.BackgroundFailures.WithLabelValues(string(supervise.Sweep)))
	require.NoError(t, f.sweep(s))
	require.Greater(t, testutil.ToFloat64(metrics.BackgroundFailures.WithLabelValues(string(supervise.Sweep))), failures)
	var published []execution.Ref
	for range good {
		published = append(published, refsOf(f.next())...)
	}
	require.ElementsMatch(t, good, published)

	f.start(s)
	require.Eventually(t, func() bool { return s.calls.Load() > 2 }, waitTimeout, interval, "the repair is repeated, also after a panic")
}

// A document that cannot be decoded stops neither the query nor the repair of the others.
func TestDocumentThatCannotBeDecodedDoesNotStopSweep(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.spoil(f.submit()) // due before the other
	good := f.submit()
	f.clock.Advance(46 * time.Second)
	require.NoError(t, f.sweep(f.store))
	require.Equal(t, []execution.Ref{good}, refsOf(f.next()))
}

// A whole page of failing executions does not hide the execution behind it.
func TestPageOfFailingExecutionsDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad := map[execution.Ref]bool{}
	for range sweepPageSize {
		bad[f.submit()] = true
	}
	good := f.submit() // due after the others
	f.clock.Advance(46 * time.Second)
	require.NoError(t, f.sweep(&multiFaultyStore{Store: f.store, bad: bad}))
	require.Equal(t, []execution.Ref{good}, refsOf(f.next()))
}

// multiFaultyStore is a real store in which several executions cannot be repaired.
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
	f := newFixture(t)
	ref := f.submit()
	turns := sweepPageSize + 5
	for i := range turns - 1 {
		_, err := f.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: fmt.Sprint("tenant", i), Message: "x"})
		require.NoError(t, err)
	}
	f.clock.Advance(46 * time.Second)
	require.NoError(t, f.sweep(f.store))
	require.Len(t, f.published, turns)
	first := map[string]bool{}
	for range sweepPageSize {
		first[f.next().Execution.ID] = true
	}
	require.Contains(t, first, ref.ID, "the execution that is due longest comes first")
}

func TestTwoJanitorsRepairEachExecutionOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const many = 20
	for i := range many {
		ref := f.submit()
		if i%2 == 0 {
			f.apply(ref, claim)
		}
	}
	f.clock.Advance(46 * time.Second)
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		both.Go(func() {
			j := f.newJanitor(f.store, Retention{})
			_, sweepErr := j.sweep(t.Context())
			errs[i] = errors.Join(sweepErr, j.Reap(t.Context(), fleet.Session{ID: session}))
		})
	}
	both.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Len(t, f.published, many)
	for range many {
		ch := f.next()
		e := f.stored(ch.Execution.Ref())
		require.Equal(t, execution.Queued, e.Status)
		require.Equal(t, e.Attempt, e.FailedAttempts, "a lost lease counts once")
	}
}

func TestSweepResumesAfterStoreOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit()
	f.clock.Advance(46 * time.Second)
	f.firestore.Stop()
	f.start(f.store)
	f.firestore.Start()
	require.Equal(t, ref.ID, f.next().Execution.ID)
}

// refsOf returns the executions that a change has made ready.
func refsOf(ch execution.Change) (refs []execution.Ref) {
	for _, e := range ch.Notify {
		refs = append(refs, e.Ref)
	}
	return refs
}
