package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/history"
	"github.com/airlock-run/airlock/internal/test/strict"
)

// By how much a test advances Firestore's clock.
const (
	afterLease        = fleet.SessionLease + time.Second // the session of a dead executor has expired
	afterNotification = 50 * time.Second                 // the janitor publishes the notification of a queued execution again
)

// faultCluster is a cluster with failpoints in its programs, and with proxies
// before Firestore, Pub/Sub and the Engine. A recorder reads Firestore directly.
type faultCluster struct {
	*cluster
	clock         *emulatortest.Clock     // of Firestore; nil with persistent emulators
	firestore     *emulatortest.Firestore // nil with persistent emulators
	emulators     *emulators              // nil without persistent emulators
	pubsub        *pubsub.Client
	recorder      *history.Recorder
	recorderReady <-chan struct{} // receives a value each time that the recorder is connected again
	apiDeps       dependencies
	executorDeps  dependencies      // of the executors without their own
	engineProxy   *faultproxy.Proxy // of the executors

	firestoreAddress, pubsubAddress string // without a proxy
}

// dependencies are the proxies of one process, or of one kind of process.
type dependencies struct {
	firestore, pubsub *faultproxy.Proxy
}

// newFaultCluster starts everything except executors. Firestore's clock is
// ahead of the processes' clock by the duration.
func newFaultCluster(t *testing.T, ahead time.Duration, apiEnv ...string) *faultCluster {
	t.Helper()
	clock := new(emulatortest.Clock)
	clock.Advance(ahead)
	fs := strict.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	ps := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	l := &faultCluster{clock: clock, firestore: fs, pubsub: ps.Client}
	l.recorder, l.recorderReady = history.Watch(t, fs.Address(), emulatortest.Project)
	l.startCluster(t, fs.Address(), ps.Address(), apiEnv...)
	return l
}

// startExecutor starts an executor and waits until it pulls executions, and until the fleet knows what it runs: from
// then on the API publishes new executions itself.
func (l *faultCluster) startExecutor(env ...string) *process {
	l.t.Helper()
	p := l.cluster.startExecutor(env...)
	if l.firestore != nil && len(env) == 0 { // one with a failpoint may be dead already
		s := store.New(l.firestore.Client)
		l.eventually("the fleet knows a runtime", func() bool {
			f, err := s.ReadFleet(l.t.Context())
			return err == nil && len(f.StartableRuntimes()) > 0
		})
	}
	return p
}

// startCluster starts the proxies and an API.
func (l *faultCluster) startCluster(t *testing.T, firestore, pubsub string, apiEnv ...string) {
	t.Helper()
	dir, err := buildFailpointPrograms()
	require.NoError(t, err)
	l.cluster = &cluster{airlock: &airlock{t: t, docker: newDockerClient(t)}, programDir: dir, socketDir: newSocketDir(t)}
	l.engineProxy = startProxy(t, "unix", filepath.Join(l.socketDir, "engine.sock"), engineSocket)
	l.firestoreAddress, l.pubsubAddress = firestore, pubsub
	l.apiDeps, l.executorDeps = l.startDependencies(), l.startDependencies()
	env := append(l.commonEnv(), "GOOGLE_CLOUD_PROJECT="+emulatortest.Project, "DOCKER_HOST=unix://"+l.engineProxy.Addr())
	l.apiEnv, l.executorEnv = slices.Concat(env, l.apiDeps.env(), apiEnv), slices.Concat(env, l.executorDeps.env())
	l.startAPI()
}

// startDependencies starts proxies for one process, or for one kind of process.
func (l *faultCluster) startDependencies() dependencies {
	l.t.Helper()
	return dependencies{
		firestore: startProxy(l.t, "tcp", "127.0.0.1:0", l.firestoreAddress), pubsub: startProxy(l.t, "tcp", "127.0.0.1:0", l.pubsubAddress),
	}
}

// env is the environment of a process that uses the proxies.
func (d dependencies) env() []string {
	return []string{"FIRESTORE_EMULATOR_HOST=" + d.firestore.Addr(), "PUBSUB_EMULATOR_HOST=" + d.pubsub.Addr()}
}

// set applies a fault to all proxies.
func (d dependencies) set(f faultproxy.Fault) {
	d.firestore.Set(f)
	d.pubsub.Set(f)
}

func startProxy(t *testing.T, network, address, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Listen(network, address, target)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// failpointEnv is the environment of a process that kills itself at a failpoint.
func failpointEnv(p failpoint.Point) string { return "AIRLOCK_FAILPOINT=" + string(p) }

// failpointStopEnv is the environment of a process that stops itself at a failpoint. SIGCONT continues it.
func failpointStopEnv(p failpoint.Point) string { return failpointEnv(p) + "/stop" }

// awaitStopped waits until the process has stopped itself at a failpoint.
func (l *faultCluster) awaitStopped(p *process) {
	l.t.Helper()
	l.eventually("stopped", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.Process.Pid) + "/stat")
		return err == nil && strings.Contains(string(stat), ") T ")
	})
}

// submit runs an agent that echoes its input, and records the acceptance.
func (l *faultCluster) submit(input string) contract.AcceptedExecution {
	l.t.Helper()
	accepted := l.runAgent(l.createEchoAgent(), input)
	a := history.Acceptance{Execution: accepted.ExecutionId}
	if !strings.HasPrefix(input, "{") { // a self-test of the offline runtime returns another text
		a.Text = input
	}
	l.recorder.RecordAcceptance(a)
	return accepted
}

// submitTurn sends a message and records the acceptance. An empty ID starts a conversation.
func (l *faultCluster) submitTurn(conversationID, message string) contract.AcceptedExecution {
	l.t.Helper()
	accepted := l.sendMessage(contract.SendMessage{ConversationId: conversationID, Message: message})
	l.recorder.RecordAcceptance(history.Acceptance{Execution: accepted.ExecutionId})
	return accepted
}

var echoAgent = contract.CreateAgent{Name: "Echo", Instructions: "Echo the text you are given.", Runtime: "offline"}

func (l *faultCluster) createEchoAgent() (id string) {
	l.t.Helper()
	return l.createAgent(echoAgent).Id
}

// requireHistoryHolds waits until all work has finished and requires that no
// rule of package history is violated. It then stops the executors and requires
// that they have left nothing.
func (l *faultCluster) requireHistoryHolds(executors ...*process) {
	l.t.Helper()
	var violations []history.Violation
	defer func() {
		if l.t.Failed() {
			l.t.Logf("%v", violations)
		}
	}()
	l.eventually("no violation", func() bool {
		violations = history.Check(l.recorder.History())
		return len(violations) == 0
	})
	l.eventually("all messages acknowledged", func() bool { return len(l.pendingMessages()) == 0 })
	for _, p := range executors {
		p.signalAndWait(l.t, syscall.SIGTERM)
	}
	l.requireCleanedUp()
	require.Empty(l.t, history.Check(l.recorder.History()))
	l.t.Log(history.Summarize(l.recorder.History()))
}
