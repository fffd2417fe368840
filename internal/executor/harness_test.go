package executor

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	tenant = "ada"
	// patience is how long a test waits for what must come.
	waitTimeout = 20 * time.Second
	// reread is how often it looks again at what may have changed without a signal.
	pollInterval = 20 * time.Millisecond
)

// world is what executors share: a real store and queue over emulators.
type fixture struct {
	t            *testing.T
	firestore    *emulatortest.Firestore
	pubsub       *emulatortest.PubSub
	clock        *emulatortest.Clock // Firestore's
	store        *store.Store
	queue        *queue.Queue
	log          *zap.Logger
	acknowledged *atomic.Int32 // announcements, so far
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	clock, acknowledged := new(emulatortest.Clock), new(atomic.Int32)
	w := &fixture{
		t: t, clock: clock, acknowledged: acknowledged, log: zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)),
		firestore: emulatortest.StartFirestore(t, firestoreemulator.Options{Now: clock.Now}),
		pubsub:    emulatortest.StartPubSub(t, pubsubemulator.Options{}, grpc.WithChainUnaryInterceptor(countAcks(acknowledged))),
	}
	w.store, w.queue = store.New(w.firestore.Client), queue.New(w.pubsub.Client)
	require.NoError(t, w.queue.Ensure(t.Context()))
	t.Cleanup(w.queue.Close)
	return w
}

// countAcks counts what is acknowledged by a call, as announcements are; what is
// acknowledged over a stream, as signals are, it does not see.
func countAcks(n *atomic.Int32) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(ctx, method, req, reply, cc, opts...)
		if ack, ok := req.(*pubsubpb.AcknowledgeRequest); ok && err == nil && !strings.Contains(ack.Subscription, "signals") {
			n.Add(int32(len(ack.AckIds)))
		}
		return err
	}
}

// awaitAcked waits until so many announcements were acknowledged.
func (w *fixture) awaitAcknowledged(n int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return int(w.acknowledged.Load()) == n }, waitTimeout, pollInterval)
}

// unhurried is a Config under which nothing happens for want of time.
func testConfig() Config {
	return Config{Name: "x1", Slots: 2, Lease: 20 * time.Minute, Heartbeat: 9 * time.Minute, Grace: time.Minute}
}

// with makes an executor of the world's parts, or of what a test puts in their place.
func (w *fixture) newExecutor(c Config, s Store, q Queue, sb Sandbox) *Executor {
	return New(c, s, q, sb, builtinRuntimes(), func(execution.Execution) {}, w.log)
}

// registry knows the runtimes that Airlock comes with, without an API key.
func builtinRuntimes() *agentruntime.Registry {
	var all []agentruntime.Runtime
	for _, entry := range catalog.Builtin().Runtimes {
		all = append(all, agentruntime.FromCatalog(entry, nil))
	}
	return agentruntime.NewRegistry(all...)
}

// start runs an executor until the test ends or stop is called, which requires
// that it ends well.
func (w *fixture) start(x *Executor) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return x.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(w.t, running.Wait())
	})
	w.t.Cleanup(stop)
	return stop
}

// run starts an executor of real parts around a sandbox.
func (w *fixture) run(c Config, sb Sandbox) (stop func()) {
	w.t.Helper()
	return w.start(w.newExecutor(c, w.store, w.queue, sb))
}

// submit stores a run and announces it.
func (w *fixture) submit(runtime, input string) execution.Ref {
	w.t.Helper()
	ch := w.storeRun(runtime, input)
	require.NoError(w.t, w.queue.Publish(w.t.Context(), ch))
	return ch.Execution.Ref()
}

// submitToBatches announces a run in the lane of batches.
func (w *fixture) submitToBatchLane(input string) execution.Ref {
	w.t.Helper()
	ch := w.storeRun("offline", input)
	ch.Execution.Lane = execution.LaneBatch
	require.NoError(w.t, w.queue.Publish(w.t.Context(), ch))
	return ch.Execution.Ref()
}

func (w *fixture) storeRun(runtime, input string) execution.Change {
	w.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Instructions: "B", Runtime: runtime, Timeout: time.Minute}
	require.NoError(w.t, w.store.CreateAgent(w.t.Context(), &a))
	ch, err := w.store.SubmitRun(w.t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: input})
	require.NoError(w.t, err)
	return ch
}

// say adds a turn to a conversation and announces it.
func (w *fixture) submitTurn(conversationID, message, schema string) execution.Execution {
	w.t.Helper()
	ch, err := w.store.SubmitTurn(w.t.Context(), store.TurnRequest{
		Tenant: tenant, ConversationID: conversationID, Message: message,
		Builder: execution.Task{Runtime: "offline", Schema: schema},
	})
	require.NoError(w.t, err)
	require.NoError(w.t, w.queue.Publish(w.t.Context(), ch))
	return ch.Execution
}

// cancel does what the API does; a signal follows unless it is to be lost.
func (w *fixture) cancel(ref execution.Ref, signal bool) {
	w.t.Helper()
	ch, err := w.store.Apply(w.t.Context(), ref, execution.CancelRequested{})
	require.NoError(w.t, err)
	if signal {
		require.NoError(w.t, w.queue.Publish(w.t.Context(), ch))
	}
}

func (w *fixture) stored(ref execution.Ref) execution.Execution {
	w.t.Helper()
	e, err := w.store.Execution(w.t.Context(), ref)
	require.NoError(w.t, err)
	return e
}

// await reads an execution until it has the status.
func (w *fixture) await(ref execution.Ref, status execution.Status) execution.Execution {
	w.t.Helper()
	var e execution.Execution
	require.Eventually(w.t, func() bool {
		e = w.stored(ref)
		return e.Status == status
	}, waitTimeout, pollInterval, "%s never was %s", ref.ID, status)
	return e
}

// box is a sandbox double. What its jobs do is the test's to say; when their
// context ends they are killed, and Run returns its cause.
type fakeSandbox struct {
	runFunc func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error)
	started chan sandbox.Job // every job, as it starts
	ended   chan error       // with what Run has returned

	mu      sync.Mutex
	pingErr error // what Ping says
}

func newFakeSandbox(do func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error)) *fakeSandbox {
	return &fakeSandbox{runFunc: do, started: make(chan sandbox.Job, 1000), ended: make(chan error, 1000)}
}

// answering is a box whose jobs answer at once.
func answeringSandbox(text string) *fakeSandbox {
	return newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) { return successOutcome(text), nil })
}

// gated is a box whose jobs answer when the gate is closed, unless they are killed before.
func gatedSandbox(text string) (b *fakeSandbox, gate chan struct{}) {
	gate = make(chan struct{})
	return newFakeSandbox(func(ctx context.Context, _ sandbox.Job) (sandbox.Outcome, error) {
		select {
		case <-ctx.Done():
			return sandbox.Outcome{}, context.Cause(ctx)
		case <-gate:
			return successOutcome(text), nil
		}
	}), gate
}

func (b *fakeSandbox) Run(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
	b.started <- job
	o, err := b.runFunc(ctx, job)
	b.ended <- err
	return o, err
}

func (b *fakeSandbox) Ping(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pingErr
}

func (b *fakeSandbox) setPingErr(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pingErr = err
}

// answer is what an agent that ended well leaves behind.
func successOutcome(text string) sandbox.Outcome {
	return stdoutOutcome(map[string]any{"type": "result", "subtype": "success", "num_turns": 1, "result": text})
}

func stdoutOutcome(result map[string]any) sandbox.Outcome {
	line, err := json.Marshal(result)
	if err != nil {
		panic(err) // of a test's own data
	}
	return sandbox.Outcome{EndReason: sandbox.Exited, Stdout: append(line, '\n')}
}

// spoilt is the real store with a fault before some of its calls.
type faultyStore struct {
	*store.Store
	fault func(ctx context.Context, ev execution.Event) error // nil: the call goes through
}

func (s *faultyStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if err := s.fault(ctx, ev); err != nil {
		return execution.Change{}, err
	}
	return s.Store.Apply(ctx, ref, ev)
}

// deaf is the real queue, but hears no signals.
type queueWithoutSignals struct{ *queue.Queue }

func (queueWithoutSignals) Subscribe(ctx context.Context, _ func(execution.Ref)) error {
	<-ctx.Done()
	return nil
}

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(waitTimeout):
		require.FailNow(t, "nothing came")
		panic("not reached")
	}
}
