package deadletter_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/background/deadletter"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	tenant       = "ada"
	waitTimeout  = 2 * time.Minute // only a failing test waits this long
	pollInterval = 10 * time.Millisecond
)

// fixture has a real store and a real queue over emulators.
type fixture struct {
	t         *testing.T
	clock     *emulatortest.Clock // of Pub/Sub
	pubsub    *emulatortest.PubSub
	firestore *emulatortest.Firestore
	store     *store.Store
	queue     *queue.Queue
	logs      *observer.ObservedLogs
	log       *zap.Logger
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	clock := new(emulatortest.Clock)
	f := &fixture{t: t, clock: clock, pubsub: emulatortest.StartPubSub(t, pubsubemulator.Options{Clock: clock}), logs: logs, log: zap.New(core)}
	f.firestore = strict.StartFirestore(t, firestoreemulator.Options{})
	f.store = store.New(f.firestore.Client)
	f.queue = queue.New(f.pubsub.Client)
	require.NoError(t, f.queue.Ensure(t.Context(), "offline"))
	t.Cleanup(f.queue.Close)
	return f
}

// startReader runs a reader until the test ends.
func (f *fixture) startReader(s deadletter.Applier, q deadletter.Queue) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return deadletter.New(s, q, f.log).Run(ctx) })
	f.t.Cleanup(func() {
		cancel()
		require.NoError(f.t, running.Wait())
	})
}

func (f *fixture) submit() execution.Ref {
	f.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Instructions: "B", Runtime: "offline", Timeout: time.Minute}
	require.NoError(f.t, f.store.CreateAgent(f.t.Context(), &a, nil))
	ch, err := f.store.SubmitRun(f.t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x"})
	require.NoError(f.t, err)
	return ch.Execution.Ref()
}

// publishDeadLetter publishes a message to the topic of the dead letters.
func (f *fixture) publishDeadLetter(data string) {
	f.t.Helper()
	p := f.pubsub.Client.Publisher("executions-dead-letter")
	defer p.Stop()
	_, err := p.Publish(f.t.Context(), &pubsub.Message{Data: []byte(data)}).Get(f.t.Context())
	require.NoError(f.t, err)
}

func (f *fixture) publishDeadLetterFor(ref execution.Ref) {
	f.publishDeadLetter(fmt.Sprintf(`{"tenant":%q,"executionId":%q}`, ref.Tenant, ref.ID))
}

func (f *fixture) await(ref execution.Ref, status execution.Status) execution.Execution {
	f.t.Helper()
	var e execution.Execution
	require.Eventually(f.t, func() bool {
		var err error
		e, err = f.store.Execution(f.t.Context(), ref)
		require.NoError(f.t, err)
		return e.Status == status
	}, waitTimeout, pollInterval)
	return e
}

func TestDeadLetterFailsQueuedExecution(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startReader(f.store, f.queue)
	ref := f.submit()
	f.publishDeadLetterFor(ref)
	e := f.await(ref, execution.Failed)
	require.Equal(t, execution.CodeDeadLettered, e.Failure.Code)
	require.Zero(t, e.Attempt)
}

// Dead letters of other executions change nothing, and do not hold up the dead letter of a queued one.
func TestDeadLetterIsIgnoredUnlessQueued(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	running, ended, waiting := f.submit(), f.submit(), f.submit()
	_, err := f.store.Apply(t.Context(), running, execution.Claimed{Executor: "x"})
	require.NoError(t, err)
	_, err = f.store.Apply(t.Context(), ended, execution.CancelRequested{})
	require.NoError(t, err)
	f.publishDeadLetterFor(running)
	f.publishDeadLetterFor(ended)
	f.publishDeadLetterFor(execution.Ref{Tenant: tenant, ID: "exe_none"})
	f.publishDeadLetterFor(waiting)
	f.startReader(f.store, f.queue)
	f.await(waiting, execution.Failed)
	f.await(running, execution.Running)
	f.await(ended, execution.Canceled)
}

// The log identifies the message, and contains nothing of its data.
func TestInvalidDeadLetterIsLoggedByHash(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startReader(f.store, f.queue)
	const secret = "somebody's secret"
	f.publishDeadLetter(secret)
	require.Eventually(t, func() bool { return f.logs.FilterMessageSnippet("names no execution").Len() == 1 }, waitTimeout, pollInterval)
	written := f.logs.All()[0].ContextMap()
	require.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte(secret))), written["sha256"])
	require.EqualValues(t, len(secret), written["bytes"])
	require.NotContains(t, fmt.Sprint(f.logs.All()), secret)
}

// failingPublisher is a real queue that publishes nothing.
type failingPublisher struct{ *queue.Queue }

func (failingPublisher) Publish(context.Context, execution.Change) error {
	return errors.New("on purpose")
}

func TestFailedPublishIsLogged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startReader(f.store, failingPublisher{f.queue})
	ref := f.submit()
	f.publishDeadLetterFor(ref)
	require.Eventually(t, func() bool { return f.logs.FilterMessageSnippet("could not publish").Len() == 1 }, waitTimeout, pollInterval)
	require.Equal(t, ref.ID, f.logs.FilterMessageSnippet("could not publish").All()[0].ContextMap()["execution"])
	f.await(ref, execution.Failed)
}

// faultyStore is a real store whose first call fails and whose second call panics.
type faultyStore struct {
	*store.Store
	calls     atomic.Int32
	unbounded atomic.Int32 // calls without a deadline
}

func (s *faultyStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		s.unbounded.Add(1)
	}
	switch s.calls.Add(1) {
	case 1:
		return execution.Change{}, store.ErrUnavailable
	case 2:
		panic("on purpose")
	}
	return s.Store.Apply(ctx, ref, ev)
}

func TestDeadLetterIsRetriedAfterErrorAndPanic(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := &faultyStore{Store: f.store}
	f.startReader(s, f.queue)
	ref := f.submit()
	f.publishDeadLetterFor(ref)
	require.Eventually(t, func() bool {
		f.clock.Advance(time.Second) // until the time for the acknowledgement is over
		e, err := f.store.Execution(t.Context(), ref)
		require.NoError(t, err)
		return e.Status == execution.Failed
	}, waitTimeout, pollInterval)
	require.EqualValues(t, 3, s.calls.Load())
	require.Zero(t, s.unbounded.Load(), "a call that hangs must end")
}

// An execution that cannot be decoded keeps its dead letter, and stops neither the other letters nor the pulls.
func TestDocumentThatCannotBeDecodedDoesNotStopReader(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad := f.submit()
	doc := f.firestore.Client.Doc("tenants/" + bad.Tenant + "/executions/" + bad.ID)
	_, err := doc.Update(t.Context(), []firestore.Update{{Path: "attempt", Value: "not a number"}})
	require.NoError(t, err)
	for range 20 { // more than one pull returns
		f.publishDeadLetterFor(bad)
	}
	f.startReader(f.store, f.queue)
	good := f.submit()
	f.publishDeadLetterFor(good)
	f.await(good, execution.Failed)
	later := f.submit()
	f.publishDeadLetterFor(later)
	f.await(later, execution.Failed)
	require.LessOrEqual(t, f.logs.FilterMessageSnippet("skipping one resource").Len(), 10)
}
