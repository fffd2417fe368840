package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// The Engine hangs while a job runs: its result is taken when the Engine
// answers again, and nothing was tried in vain.
func TestFaultEngineHangs(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor(t)
	l.executorName = l.executorNames[0]
	accepted := l.submit(`{"offline":{"sleep":"1s"}}`)
	l.eventually("runs in a container", func() bool { return len(l.containers()) == 1 })
	l.engineProxy.Set(faultproxy.BlackHole)
	next := l.submit("one two") // its container cannot be made meanwhile
	x.awaitLine(t, `"msg":"running".*(`+next.ExecutionId+`)`)
	time.AfterFunc(3*time.Second, l.engineProxy.Clear) // less than what a job may take to start
	for _, a := range []contract.AcceptedExecution{accepted, next} {
		e := l.awaitExecution(a.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		require.Equal(t, 1, e.Attempt)
	}
	l.requireHistoryHolds(x)
}

// The connections to the Engine are cut while a job runs: it is tried again.
func TestFaultEngineCut(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor(t)
	l.executorName = l.executorNames[0]
	accepted := l.submit(`{"offline":{"sleep":"8s"}}`)
	l.eventually("runs in a container", func() bool { // attached to since before it was started
		all := l.containers()
		return len(all) == 1 && all[0].State == "running"
	})
	l.engineProxy.ResetConnections()
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	require.Equal(t, 2, e.Attempt)
	l.requireHistoryHolds(x)
}

// An image that is not there is no fault of the job's: it is tried as often as
// it may, and then ends with a code that says whose fault it is.
func TestFaultMissingImage(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor(t, "AIRLOCK_OFFLINE_IMAGE=airlock/none:dev")
	accepted := l.submit("one two")
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusFailed, e.Status)
	require.Equal(t, contract.FailureCodeAttemptsExhausted, e.Error.Code)
	require.Equal(t, 3, e.Attempt)
	l.requireHistoryHolds(x)
}

// Two executors of one name, which nobody should start, are still two: it is
// the attempt's number that says who may write.
func TestFaultExecutorsWithSameName(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	one, other := l.startExecutor(t, "AIRLOCK_EXECUTOR_NAME=twin"), l.startExecutor(t, "AIRLOCK_EXECUTOR_NAME=twin")
	l.executorNames = []string{"twin"}
	accepted := make([]contract.AcceptedExecution, 8)
	for i := range accepted {
		accepted[i] = l.submit(words(i + 1))
	}
	for _, a := range accepted {
		require.Equal(t, 1, l.awaitExecution(a.ExecutionId).Attempt)
	}
	l.requireHistoryHolds(one, other)
}

// dockerd is killed with jobs running, and started again: they run again.
func TestFaultEngineKilled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start an Engine")
	}
	t.Parallel()
	l := newFaultCluster(t, 0)
	engine := newEngine(t)
	l.docker = engine.client
	x := l.startExecutor(t, "DOCKER_HOST="+engine.host)
	l.executorName = l.executorNames[0]
	running := []contract.AcceptedExecution{l.submit(`{"offline":{"sleep":"9s"}}`), l.submit(`{"offline":{"sleep":"10s"}}`)}
	l.eventually("run in containers", func() bool {
		all := l.containers()
		return len(all) == 2 && all[0].State == "running" && all[1].State == "running"
	})
	engine.kill()
	waiting := l.submit("one two")
	x.awaitLine(t, `("task":"pull executions")`)
	engine.start()
	for _, a := range running {
		e := l.awaitExecution(a.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		require.Equal(t, 2, e.Attempt)
	}
	require.Equal(t, contract.StatusSucceeded, l.awaitExecution(waiting.ExecutionId).Status)
	l.requireHistoryHolds(x)
}

// engine is a dockerd of the test's own, in namespaces of its own. Of the
// network: one that is told to do without a bridge removes docker0, which may be
// another's. Of processes and mounts: nothing of one that is killed stays.
type engine struct {
	t      *testing.T
	host   string
	dir    string
	client *client.Client
	cmd    *exec.Cmd
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "airlock-engine-")
	require.NoError(t, err)
	e := &engine{t: t, dir: dir, host: "unix://" + dir + "/engine.sock"}
	e.client, err = client.NewClientWithOpts(client.WithHost(e.host), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "daemon.json"), []byte("{}"), 0o600))
	e.start()
	t.Cleanup(func() {
		require.NoError(t, e.client.Close())
		e.kill()
		require.NoError(t, os.RemoveAll(dir))
	})
	e.load("airlock/sandbox-offline:dev")
	return e
}

func (e *engine) start() {
	e.t.Helper()
	require.NoError(e.t, os.MkdirAll(filepath.Join(e.dir, "run"), 0o700))
	logs, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(e.t, err)
	defer logs.Close()
	e.cmd = exec.Command("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
		"dockerd", "--config-file", e.dir+"/daemon.json", "--host", e.host, "--data-root", e.dir+"/data", "--exec-root", e.dir+"/run/exec",
		"--pidfile", e.dir+"/run/pid", "--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false")
	e.cmd.Stdout, e.cmd.Stderr = logs, logs
	require.NoError(e.t, e.cmd.Start())
	require.Eventually(e.t, func() bool { _, err := e.client.Ping(context.Background()); return err == nil }, time.Minute, 50*time.Millisecond, "%s", engineLog{logs.Name()})
}

// kill ends dockerd as a crash of the machine would: nothing of it runs on, since
// it is the first process of its namespace, and /run is empty. What stayed there
// would name processes by numbers that others have in the next namespace.
func (e *engine) kill() {
	e.t.Helper()
	self := e.cmd.Process.Pid // that is unshare, which waits for it
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", self, self))
	require.NoError(e.t, err)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(children))); err == nil { // it may have ended by itself
		require.NoError(e.t, syscall.Kill(pid, syscall.SIGKILL))
	}
	_ = e.cmd.Wait() // says that it was killed
	require.NoError(e.t, os.RemoveAll(e.dir+"/run"))
}

// engineLog is what a dockerd has said, read when it is asked for.
type engineLog struct{ path string }

func (l engineLog) String() string {
	text, err := os.ReadFile(l.path)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// load gives it an image of the host's own Engine.
func (e *engine) load(image string) {
	e.t.Helper()
	host, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(e.t, err)
	defer host.Close()
	saved, err := host.ImageSave(e.t.Context(), []string{image})
	require.NoError(e.t, err)
	defer saved.Close()
	loaded, err := e.client.ImageLoad(e.t.Context(), saved)
	require.NoError(e.t, err)
	defer loaded.Body.Close()
	_, err = io.Copy(io.Discard, loaded.Body)
	require.NoError(e.t, err)
}
