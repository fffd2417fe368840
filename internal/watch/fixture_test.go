package watch_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/api/option"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/strict"
	"github.com/airlock-run/airlock/internal/watch"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	ada         = "ada"
	waitTimeout = 30 * time.Second // only a failing test waits this long
	session     = "prc_x.1"
)

// fixture is a Firestore emulator with the store of a process that only works: it has no registry.
type fixture struct {
	t         *testing.T
	firestore *emulatortest.Firestore
	worker    *store.Store
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	f := strict.StartFirestore(t, firestoreemulator.Options{})
	return fixture{t: t, firestore: f, worker: store.New(f.Client)}
}

// watcher is a process with a registry that receives its inbox.
type watcher struct {
	*watch.Registry
	store *store.Store
}

func (f fixture) newWatcher() watcher { return f.newWatcherAt(f.firestore.Client) }

func (f fixture) newWatcherAt(client *firestore.Client) watcher {
	f.t.Helper()
	s := store.New(client)
	w := watcher{watch.New(s, id.New(id.Process), zap.NewNop()), s}
	ctx, cancel := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) }) // always nil
	f.t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// newWatcherBehindProxy returns a process whose connection to Firestore the test can disturb.
func (f fixture) newWatcherBehindProxy() (watcher, *faultproxy.Proxy) {
	f.t.Helper()
	proxy, err := faultproxy.Listen("tcp", "127.0.0.1:0", f.firestore.Address())
	require.NoError(f.t, err)
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", proxy.Addr())
	})
	options := append(f.firestore.ClientOptions(), option.WithGRPCDialOption(dial))
	client, err := firestore.NewClient(f.t.Context(), emulatortest.Project, options...)
	require.NoError(f.t, err)
	f.t.Cleanup(func() {
		require.NoError(f.t, client.Close())
		require.NoError(f.t, proxy.Close())
	})
	w := f.newWatcherAt(client)
	f.t.Cleanup(proxy.Clear) // before the registry ends
	return w, proxy
}

func (f fixture) submit() execution.Ref {
	f.t.Helper()
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(f.t, f.worker.CreateAgent(f.t.Context(), &a, nil))
	ch, err := f.worker.SubmitRun(f.t.Context(), store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
	require.NoError(f.t, err)
	return ch.Execution.Ref()
}

func (f fixture) apply(ref execution.Ref, ev execution.Event) {
	f.t.Helper()
	_, err := f.worker.Apply(f.t.Context(), ref, ev)
	require.NoError(f.t, err)
}

// run claims an execution and ends it.
func (f fixture) run(ref execution.Ref) {
	f.t.Helper()
	f.apply(ref, execution.Claimed{Executor: "x1", Session: session, ClaimID: ref.ID})
	f.apply(ref, success)
}

var success = execution.JobEnded{
	Session: session, Attempt: 1, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "2"}},
}

func (f fixture) read(ref execution.Ref) (execution.Execution, time.Time) {
	f.t.Helper()
	e, version, err := f.worker.ExecutionVersion(f.t.Context(), ref)
	require.NoError(f.t, err)
	return e, version
}

// register reads an execution and makes the process its watcher.
func (f fixture) register(w watcher, ref execution.Ref, kind store.WatchKind) {
	f.t.Helper()
	e, version := f.read(ref)
	require.NoError(f.t, w.Register(f.t.Context(), &e, version, kind))
}

// signals counts what lies in the inbox of a process.
func (f fixture) signals(w watcher) int {
	f.t.Helper()
	found, err := f.firestore.Client.Collection("inboxes").Doc(w.Process()).Collection("items").Documents(f.t.Context()).GetAll()
	require.NoError(f.t, err)
	return len(found)
}

// sendChanges sends n changes of the tenant to a process, numbered from first, each in a commit of its own. The
// executions do not exist.
func (f fixture) sendChanges(w watcher, first, n int) {
	f.t.Helper()
	for i := range n {
		require.NoError(f.t, f.worker.SendSignals(f.t.Context(), newChange(w, first+i)))
	}
}

// burst sends them in commits of many.
func (f fixture) burst(w watcher, first, n int) {
	f.t.Helper()
	all := make([]signal.Signal, n)
	for i := range all {
		all[i] = newChange(w, first+i)
	}
	for part := range slices.Chunk(all, 500) {
		require.NoError(f.t, f.worker.SendSignals(f.t.Context(), part...))
	}
}

func newChange(w watcher, number int) signal.Signal {
	return signal.Signal{
		To: w.Process(), Kind: signal.KindChange, Tenant: ada, Change: &signal.Change{ExecutionID: "exe", Attempt: number},
	}
}

func await(t *testing.T, notified <-chan struct{}) {
	t.Helper()
	select {
	case <-notified:
	case <-time.After(waitTimeout):
		require.FailNow(t, "nothing has woken the subscriber")
	}
}
