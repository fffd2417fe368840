package deadletter_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

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
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	tenant       = "ada"
	waitTimeout  = 20 * time.Second
	pollInterval = 10 * time.Millisecond
)

// world is what a reader lives in: a real store and queue over emulators.
type fixture struct {
	t      *testing.T
	pubsub *emulatortest.PubSub
	store  *store.Store
	queue  *queue.Queue
	logs   *observer.ObservedLogs
	log    *zap.Logger
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	w := &fixture{t: t, pubsub: emulatortest.StartPubSub(t, pubsubemulator.Options{}), logs: logs, log: zap.New(core)}
	w.store = store.New(emulatortest.StartFirestore(t, firestoreemulator.Options{}).Client)
	w.queue = queue.New(w.pubsub.Client)
	require.NoError(t, w.queue.Ensure(t.Context()))
	t.Cleanup(w.queue.Close)
	return w
}

// read starts a reader, until the test ends.
func (w *fixture) startReader(s deadletter.Store) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return deadletter.New(s, w.queue, w.log).Run(ctx) })
	w.t.Cleanup(func() {
		cancel()
		require.NoError(w.t, running.Wait())
	})
}

func (w *fixture) submit() execution.Ref {
	w.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Instructions: "B", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.store.CreateAgent(w.t.Context(), &a))
	ch, err := w.store.SubmitRun(w.t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x"})
	require.NoError(w.t, err)
	return ch.Execution.Ref()
}

// bury makes a dead letter.
func (w *fixture) publishDeadLetter(data string) {
	w.t.Helper()
	p := w.pubsub.Client.Publisher("executions-dead-letter")
	defer p.Stop()
	_, err := p.Publish(w.t.Context(), &pubsub.Message{Data: []byte(data)}).Get(w.t.Context())
	require.NoError(w.t, err)
}

func (w *fixture) publishDeadLetterFor(ref execution.Ref) {
	w.publishDeadLetter(fmt.Sprintf(`{"tenant":%q,"executionId":%q}`, ref.Tenant, ref.ID))
}

func (w *fixture) await(ref execution.Ref, status execution.Status) execution.Execution {
	w.t.Helper()
	var e execution.Execution
	require.Eventually(w.t, func() bool {
		var err error
		e, err = w.store.Execution(w.t.Context(), ref)
		require.NoError(w.t, err)
		return e.Status == status
	}, waitTimeout, pollInterval)
	return e
}

func TestDeadLetterFailsQueuedExecution(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	w.startReader(w.store)
	ref := w.submit()
	w.publishDeadLetterFor(ref)
	e := w.await(ref, execution.Failed)
	require.Equal(t, execution.CodeDeadLettered, e.Failure.Code)
	require.Zero(t, e.Attempt)
}

// What could be looked at after all is left alone, and what is not there keeps nobody up.
func TestDeadLetterIgnoredUnlessQueued(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	running, ended, waiting := w.submit(), w.submit(), w.submit()
	_, err := w.store.Apply(t.Context(), running, execution.Claimed{Executor: "x", Lease: time.Hour})
	require.NoError(t, err)
	_, err = w.store.Apply(t.Context(), ended, execution.CancelRequested{})
	require.NoError(t, err)
	w.publishDeadLetterFor(running)
	w.publishDeadLetterFor(ended)
	w.publishDeadLetterFor(execution.Ref{Tenant: tenant, ID: "exe_none"})
	w.publishDeadLetterFor(waiting)
	w.startReader(w.store)
	w.await(waiting, execution.Failed)
	w.await(running, execution.Running)
	w.await(ended, execution.Canceled)
}

// Of what names no execution the log has enough to know it again, and nothing of what it says.
func TestInvalidDeadLetterIsLoggedByHash(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	w.startReader(w.store)
	const secret = "somebody's secret"
	w.publishDeadLetter(secret)
	require.Eventually(t, func() bool { return w.logs.FilterMessageSnippet("names no execution").Len() == 1 }, waitTimeout, pollInterval)
	written := w.logs.All()[0].ContextMap()
	require.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte(secret))), written["sha256"])
	require.EqualValues(t, len(secret), written["bytes"])
	require.NotContains(t, fmt.Sprint(w.logs.All()), secret)
}

// away is the real store, which at first does not answer, or worse.
type faultyStore struct {
	*store.Store
	calls atomic.Int32
}

func (s *faultyStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	switch s.calls.Add(1) {
	case 1:
		return execution.Change{}, store.ErrUnavailable
	case 2:
		panic("on purpose")
	}
	return s.Store.Apply(ctx, ref, ev)
}

func TestDeadLetterRetriedWhenStoreUnavailable(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	s := &faultyStore{Store: w.store}
	w.startReader(s)
	ref := w.submit()
	w.publishDeadLetterFor(ref)
	w.await(ref, execution.Failed)
	require.EqualValues(t, 3, s.calls.Load())
}
