package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/history"
	"github.com/airlock-run/airlock/internal/test/history/historytest"
)

// What makes the clock pass a lease, and the time after which an announcement
// counts as lost.
const (
	afterLease        = 16 * time.Second
	afterNotification = 50 * time.Second
)

// lab is an Airlock of real processes, each behind proxies of its own before
// Firestore, Pub/Sub and the Engine, and a recorder that watches Firestore
// past all of them. Firestore's clock is the lab's to advance.
type faultCluster struct {
	*airlock
	clock         *emulatortest.Clock
	firestore     *emulatortest.Firestore
	emulators     *emulators // where they are a process; there is no clock and no firestore then
	pubsub        *pubsub.Client
	recorder      *history.Recorder
	recorderReady <-chan struct{} // tells each time that the recorder hears of everything from then on
	apiDeps       dependencies
	executorDeps  dependencies
	engineProxy   *faultproxy.Proxy // of the executors
	socketDir     string
	executorNames []string // of all executors there were
}

// side is what one kind of process depends on.
type dependencies struct {
	firestore, pubsub *faultproxy.Proxy
	env               []string
}

// newLab starts everything but executors. ahead is how far Firestore's clock
// is before the processes'.
func newFaultCluster(t *testing.T, ahead time.Duration, apiEnv ...string) *faultCluster {
	t.Helper()
	clock := new(emulatortest.Clock)
	clock.Advance(ahead)
	fs := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	ps := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	l := &faultCluster{clock: clock, firestore: fs, pubsub: ps.Client}
	l.recorder, l.recorderReady = historytest.Watch(t, fs.Address(), emulatortest.Project)
	l.startProxies(t, fs.Address(), ps.Address())
	l.startAPI(t, apiEnv...)
	return l
}

// furnish makes what stands around the processes.
func (l *faultCluster) startProxies(t *testing.T, firestore, pubsub string) {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { _ = docker.Close() })
	l.airlock = &airlock{t: t, docker: docker}
	l.socketDir, err = os.MkdirTemp("/tmp", "airlock-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(l.socketDir)) })
	l.engineProxy = startProxy(t, "unix", filepath.Join(l.socketDir, "engine.sock"), "/var/run/docker.sock")
	env := []string{
		"GOOGLE_CLOUD_PROJECT=" + emulatortest.Project, "AIRLOCK_AUTH_MODE=dev", "AIRLOCK_BLOB_URL=file://" + t.TempDir(), "AIRLOCK_SANDBOX_SOCKET_DIR=" + filepath.Join(l.socketDir, "egress"),
		"AIRLOCK_WARM_POOL_SIZE=0", "DOCKER_HOST=unix://" + l.engineProxy.Addr(), "AIRLOCK_EXECUTOR_SLOTS=4", "AIRLOCK_SHUTDOWN_GRACE=5s",
	}
	for _, s := range []*dependencies{&l.apiDeps, &l.executorDeps} {
		s.firestore, s.pubsub = startProxy(t, "tcp", "127.0.0.1:0", firestore), startProxy(t, "tcp", "127.0.0.1:0", pubsub)
		s.env = append([]string{"FIRESTORE_EMULATOR_HOST=" + s.firestore.Addr(), "PUBSUB_EMULATOR_HOST=" + s.pubsub.Addr()}, env...)
	}
}

func startProxy(t *testing.T, network, address, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Listen(network, address, target)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// serve starts an API, and waits until it is ready.
func (l *faultCluster) startAPI(t *testing.T, env ...string) *process {
	t.Helper()
	p := l.startProcess(t, "api", l.apiDeps.env, append(env, "AIRLOCK_LISTEN_ADDR=127.0.0.1:0")...)
	l.URL = "http://" + p.awaitLine(t, `"API is listening".*"address":"([^"]+)"`)
	l.eventually("ready", func() bool { return l.do(http.MethodGet, "/readyz", "", nil).StatusCode == http.StatusOK })
	return p
}

// executor starts one, and waits until it pulls.
func (l *faultCluster) startExecutor(t *testing.T, env ...string) *process {
	t.Helper()
	name := id.New("test-")
	l.executorNames = append(l.executorNames, name)
	p := l.startProcess(t, "executor", l.executorDeps.env, append([]string{"AIRLOCK_EXECUTOR_NAME=" + name}, env...)...)
	p.awaitLine(t, `(pulling executions)`)
	return p
}

func (l *faultCluster) startProcess(t *testing.T, program string, env []string, more ...string) *process {
	t.Helper()
	dir, err := buildFailpointPrograms()
	require.NoError(t, err)
	return startProgramFrom(t, dir, program, append(append([]string{}, env...), more...))
}

// crashAt is for the environment of a process that is to be killed there.
func failpointEnv(p failpoint.Point) string { return "AIRLOCK_FAILPOINT=" + string(p) }

// stopAt is for one that is to be stopped there, until it is told to go on.
func failpointStopEnv(p failpoint.Point) string { return failpointEnv(p) + "/stop" }

// awaitStopped waits until the process has stopped itself.
func (l *faultCluster) awaitStopped(p *process) {
	l.t.Helper()
	l.eventually("stopped", func() bool {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(p.Process.Pid) + "/stat")
		return err == nil && strings.Contains(string(status), ") T ")
	})
}

// submit runs an agent that echoes, and notes what it was promised.
func (l *faultCluster) submit(input string) contract.AcceptedExecution {
	l.t.Helper()
	accepted := l.runAgent(l.createEchoAgent(), input)
	p := history.Acceptance{Execution: accepted.ExecutionId}
	if !strings.HasPrefix(input, "{") {
		p.Text = input
	}
	l.recorder.RecordAcceptance(p)
	return accepted
}

// say adds a turn to a conversation, or begins one, and notes the promise.
func (l *faultCluster) submitTurn(conversationID, message string) contract.AcceptedExecution {
	l.t.Helper()
	accepted := l.sendMessage(contract.SendMessage{ConversationId: conversationID, Message: message})
	l.recorder.RecordAcceptance(history.Acceptance{Execution: accepted.ExecutionId})
	return accepted
}

// echo is an agent that answers with what it is given.
func (l *faultCluster) createEchoAgent() string {
	l.t.Helper()
	return l.createAgent(contract.CreateAgent{Name: "Echo", Instructions: "Echo the text you are given.", Runtime: "offline"}).Id
}

// kept waits for the end of everything, and requires that all of it is what
// was promised, and that nothing is left once the executors have stopped.
func (l *faultCluster) requireHistoryHolds(executors ...*process) {
	l.t.Helper()
	var violations []history.Violation
	defer func() {
		if l.t.Failed() {
			l.t.Logf("%v", violations)
		}
	}()
	require.Eventually(l.t, func() bool {
		violations = history.Check(l.recorder.History())
		return len(violations) == 0
	}, 90*time.Second, 100*time.Millisecond)
	l.eventually("all messages acknowledged", func() bool { return len(l.pendingMessages()) == 0 })
	for _, p := range executors {
		p.signalAndWait(l.t, syscall.SIGTERM)
	}
	l.requireCleanedUp()
	require.Empty(l.t, history.Check(l.recorder.History()))
	l.t.Log(history.Summarize(l.recorder.History()))
}
