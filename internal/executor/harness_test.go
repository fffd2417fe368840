package executor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
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
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/membership"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	tenant = "ada"
	// waitTimeout is how long a test waits for an event that must come. Only a failing test waits this long.
	waitTimeout = 2 * time.Minute
	// pollInterval is how often a test reads state that can change without a signal.
	pollInterval = 20 * time.Millisecond
)

// fixture is what executors share: a real store and a real queue over emulators.
type fixture struct {
	t            *testing.T
	firestore    *emulatortest.Firestore
	pubsub       *emulatortest.PubSub
	clock        *emulatortest.Clock // Firestore's
	store        *store.Store
	queue        *queue.Queue
	log          *zap.Logger
	acknowledged *atomic.Int32 // notifications
	signalsLost  atomic.Bool   // no signal reaches an executor

	mu      sync.Mutex
	members map[*Executor]*membership.Member
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	clock, acknowledged := new(emulatortest.Clock), new(atomic.Int32)
	f := &fixture{
		t: t, clock: clock, acknowledged: acknowledged, members: map[*Executor]*membership.Member{},
		log:       zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)),
		firestore: strict.StartFirestore(t, firestoreemulator.Options{Now: clock.Now}),
		pubsub:    emulatortest.StartPubSub(t, pubsubemulator.Options{}, grpc.WithChainUnaryInterceptor(countAcks(acknowledged))),
	}
	f.store, f.queue = store.New(f.firestore.Client), queue.New(f.pubsub.Client)
	require.NoError(t, f.queue.Ensure(t.Context(), "offline", "a", "b"))
	t.Cleanup(f.queue.Close)
	return f
}

// countAcks counts the notifications that are acknowledged.
func countAcks(n *atomic.Int32) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(ctx, method, req, reply, cc, opts...)
		if ack, ok := req.(*pubsubpb.AcknowledgeRequest); ok && err == nil {
			n.Add(int32(len(ack.AckIds)))
		}
		return err
	}
}

// awaitAcknowledged waits until n notifications have been acknowledged.
func (f *fixture) awaitAcknowledged(n int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return int(f.acknowledged.Load()) == n }, waitTimeout, pollInterval)
}

// testConfig returns a Config whose times are so long that none of them ends during a test.
func testConfig() Config {
	return Config{Name: "x1", Slots: 2, Grace: time.Minute, Artifacts: noArtifacts{}}
}

// noArtifacts is for jobs without files and without large results. It drops transcripts.
type noArtifacts struct{ ArtifactStore }

func (noArtifacts) Put(context.Context, blob.Key, io.Reader) (execution.Content, error) {
	return execution.Content{}, errors.New("this test stores no artifacts")
}

func (noArtifacts) PutTranscriptPart(context.Context, execution.Ref, blob.TranscriptPart, []byte) error {
	return nil
}

// sessionLease is so long that no session ends during a test by itself.
const sessionLease = 20 * time.Minute

// testStore is what an executor needs of a store.
type testStore interface {
	Applier
	TaskStore
}

// newExecutor returns an executor of the given parts. Its sessions are in the real store.
func (f *fixture) newExecutor(c Config, s testStore, q Queue, sb Sandbox) *Executor {
	return f.newExecutorWithSessions(c, s, q, sb, membership.MemberConfig{Store: f.store, Lease: sessionLease, Interval: sessionLease / 3})
}

func (f *fixture) newExecutorWithSessions(c Config, s testStore, q Queue, sb Sandbox, m membership.MemberConfig) *Executor {
	var x *Executor
	m.Process, m.Kind, m.Name, m.Log = id.New("prc_"), fleet.KindExecutor, c.Name, f.log
	f.store.OpenInbox(m.Process, func(s signal.Signal) {
		switch {
		case f.signalsLost.Load():
		case s.Kind == signal.KindCancel:
			x.Signal(execution.Ref{Tenant: s.Tenant, ID: s.Change.ExecutionID})
		case s.Kind == signal.KindTurn:
			x.SignalTurn(execution.Ref{Tenant: s.Tenant, ID: s.Change.ConversationID}, s.Change.ExecutionID)
		}
	})
	m.OnLost = func(ctx context.Context) { x.AwaitJobsGone(ctx) }
	member := membership.NewMember(m)
	c.Sessions = member
	c.Executions, c.Tasks, c.Queue, c.Sandbox, c.Log = s, s, q, sb, f.log
	if c.Runtimes == nil {
		c.Runtimes = builtinRuntimes()
	}
	if c.OnFinished == nil {
		c.OnFinished = func(execution.Execution) {}
	}
	x = New(c)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members[x] = member
	return x
}

// member returns the member that has the sessions of an executor.
func (f *fixture) member(x *Executor) *membership.Member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.members[x]
}

// loseSession makes an executor lose its session, and returns the session.
func (f *fixture) loseSession(x *Executor) membership.Session {
	f.t.Helper()
	session, ok := f.member(x).Current()
	require.True(f.t, ok)
	require.NoError(f.t, f.store.DeleteSession(f.t.Context(), session.ID))
	f.member(x).Renew()
	<-session.Lost()
	return session
}

// builtinRuntimes knows the runtimes that are built into Airlock. It has no API key.
func builtinRuntimes() *agentruntime.Registry {
	var all []agentruntime.Runtime
	for _, entry := range catalog.Builtin().Runtimes {
		all = append(all, agentruntime.FromCatalog(entry, nil))
	}
	return agentruntime.NewRegistry(all...)
}

// start runs an executor until the test ends or stop is called. Run must return no error.
func (f *fixture) start(x *Executor) (stop func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	memberCtx, stopMember := context.WithCancel(context.Background())
	running.Go(func() error { return f.member(x).Run(memberCtx) })
	running.Go(func() error {
		defer stopMember()
		return x.Run(ctx)
	})
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(f.t, running.Wait())
	})
	f.t.Cleanup(stop)
	return stop
}

// run starts an executor with the real store and queue.
func (f *fixture) run(c Config, sb Sandbox) (stop func()) {
	f.t.Helper()
	return f.start(f.newExecutor(c, f.store, f.queue, sb))
}

// submit submits a run and publishes its notification.
func (f *fixture) submit(runtime, input string) execution.Ref {
	f.t.Helper()
	ch := f.storeRun(runtime, input)
	require.NoError(f.t, f.queue.Publish(f.t.Context(), ch))
	return ch.Execution.Ref()
}

// submitToBatchLane submits a run and publishes its notification in the lane of batches.
func (f *fixture) submitToBatchLane(input string) execution.Ref {
	f.t.Helper()
	ch := f.storeRun("offline", input)
	ch.Notify[0].Lane = execution.LaneBatch
	require.NoError(f.t, f.queue.Publish(f.t.Context(), ch))
	return ch.Execution.Ref()
}

// submitFrom submits a run that begins with the workspace of an execution.
func (f *fixture) submitFrom(executionID string) execution.Ref {
	f.t.Helper()
	ch := f.storeRunFrom("offline", "x", executionID)
	require.NoError(f.t, f.queue.Publish(f.t.Context(), ch))
	return ch.Execution.Ref()
}

func (f *fixture) storeRun(runtime, input string) execution.Change {
	f.t.Helper()
	return f.storeRunFrom(runtime, input, "")
}

func (f *fixture) storeRunFrom(runtime, input, workspaceFrom string) execution.Change {
	f.t.Helper()
	return f.storeRequest(runtime, store.RunRequest{Input: input, WorkspaceFrom: workspaceFrom})
}

// storeRequest stores a run of a new agent.
func (f *fixture) storeRequest(runtime string, r store.RunRequest) execution.Change {
	f.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Instructions: "B", Runtime: runtime, Timeout: time.Minute}
	require.NoError(f.t, f.store.CreateAgent(f.t.Context(), &a, nil))
	r.Tenant, r.AgentID = tenant, a.ID
	ch, err := f.store.SubmitRun(f.t.Context(), r)
	require.NoError(f.t, err)
	return ch
}

// submitTurn adds a turn to a conversation and publishes its notification.
func (f *fixture) submitTurn(conversationID, message, schema string) execution.Execution {
	f.t.Helper()
	ch, err := f.store.SubmitTurn(f.t.Context(), store.TurnRequest{
		Tenant: tenant, ConversationID: conversationID, Message: message,
		Builder: execution.Task{Runtime: "offline", Schema: schema},
	})
	require.NoError(f.t, err)
	require.NoError(f.t, f.queue.Publish(f.t.Context(), ch))
	return ch.Execution
}

// cancel cancels an execution as the API does; without signalled, the signal is lost.
func (f *fixture) cancel(ref execution.Ref, signalled bool) {
	f.t.Helper()
	f.signalsLost.Store(!signalled)
	defer f.signalsLost.Store(false)
	_, err := f.store.Apply(f.t.Context(), ref, execution.CancelRequested{})
	require.NoError(f.t, err)
}

func (f *fixture) stored(ref execution.Ref) execution.Execution {
	f.t.Helper()
	e, err := f.store.Execution(f.t.Context(), ref)
	require.NoError(f.t, err)
	return e
}

// await waits until an execution has the status.
func (f *fixture) await(ref execution.Ref, status execution.Status) execution.Execution {
	f.t.Helper()
	var e execution.Execution
	require.Eventually(f.t, func() bool {
		e = f.stored(ref)
		return e.Status == status
	}, waitTimeout, pollInterval, "%s did not become %s", ref.ID, status)
	return e
}

// fakeSandbox is a sandbox whose jobs do what the test says.
type fakeSandbox struct {
	runFunc   func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error)
	started   chan sandbox.Job      // receives each job when it starts
	ended     chan error            // receives what Run returns
	aheadFunc func(job sandbox.Job) // what StartAhead does besides; may be nil
	ahead     chan sandbox.Job      // receives each job whose agent is started ahead
	given     chan sandbox.Job      // receives such a job when its agent is given up

	mu       sync.Mutex
	pingErr  error                       // the answer of Ping
	probeErr error                       // the answer of Probe
	probes   int                         // calls of Probe
	tryErr   func(job sandbox.Job) error // the answer of Try; nil: none fails
}

func newFakeSandbox(run func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error)) *fakeSandbox {
	return &fakeSandbox{runFunc: run, started: make(chan sandbox.Job, 1000), ended: make(chan error, 1000),
		ahead: make(chan sandbox.Job, 1000), given: make(chan sandbox.Job, 1000)}
}

// answeringSandbox returns a sandbox whose jobs succeed at once.
func answeringSandbox(text string) *fakeSandbox {
	return newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) { return successOutcome(text), nil })
}

// gatedSandbox returns a sandbox whose jobs succeed when the gate is closed, unless their context ends before.
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

func (b *fakeSandbox) Probe(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probes++
	return b.probeErr
}

func (b *fakeSandbox) StartAhead(_ context.Context, job sandbox.Job) (release func(), err error) {
	b.ahead <- job
	if b.aheadFunc != nil {
		b.aheadFunc(job)
	}
	return func() { b.given <- job }, nil
}

func (b *fakeSandbox) Try(_ context.Context, job sandbox.Job) error {
	b.mu.Lock()
	tryErr := b.tryErr
	b.mu.Unlock()
	if tryErr == nil {
		return nil
	}
	return tryErr(job)
}

// probeCount returns how often Probe was called.
func (b *fakeSandbox) probeCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.probes
}

func (b *fakeSandbox) setTryErr(err func(job sandbox.Job) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tryErr = err
}

func (b *fakeSandbox) setProbeErr(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probeErr = err
}

func (b *fakeSandbox) setPingErr(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pingErr = err
}

// successOutcome is the outcome of an agent that succeeded.
func successOutcome(text string) sandbox.Outcome {
	return stdoutOutcome(map[string]any{"type": "result", "subtype": "success", "num_turns": 1, "result": text})
}

func stdoutOutcome(result map[string]any) sandbox.Outcome {
	line, err := json.Marshal(result)
	if err != nil {
		panic(err) // the data comes from a test
	}
	return sandbox.Outcome{EndReason: sandbox.Exited, Stdout: append(line, '\n'), Record: begunRecord()}
}

// begunRecord is the record of a sandbox that acknowledged its job.
func begunRecord() sandbox.Record {
	return sandbox.Record{Times: sandbox.Times{AgentStarted: time.Now()}}
}

// faultyStore is a real store whose Apply can fail.
type faultyStore struct {
	*store.Store
	fault func(ctx context.Context, ev execution.Event) error // with nil, the real store is called
}

func (s *faultyStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if err := s.fault(ctx, ev); err != nil {
		return execution.Change{}, err
	}
	return s.Store.Apply(ctx, ref, ev)
}

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(waitTimeout):
		require.FailNow(t, "nothing was received")
		panic("unreachable")
	}
}
