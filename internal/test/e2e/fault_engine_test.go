package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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
	"github.com/airlock-run/airlock/internal/app/executorservice"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// The Engine hangs while a job runs. The executor takes the job's result when the
// Engine responds again, and no attempt fails.
func TestFaultEngineHangs(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor()
	accepted := l.submit(`{"offline":{"sleep":"1s"}}`)
	l.awaitContainers(1)
	l.engineProxy.Set(faultproxy.BlackHole)
	next := l.submit("one two") // its container cannot be created meanwhile
	x.awaitLine(t, `"msg":"running".*(`+next.ExecutionId+`)`)
	time.AfterFunc(3*time.Second, l.engineProxy.Clear) // sooner than the time-out for the start of a container
	for _, a := range []contract.AcceptedExecution{accepted, next} {
		e := l.awaitExecution(a.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		require.Equal(t, 1, e.Attempt)
	}
	l.requireHistoryHolds(x)
}

// The connections to the Engine are reset while a job runs. The job gets another attempt.
func TestFaultEngineConnectionsReset(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor()
	accepted := l.submit(`{"offline":{"sleep":"8s"}}`)
	l.awaitContainers(1) // the executor attaches to a container before it starts it
	l.engineProxy.ResetConnections()
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	require.Equal(t, 2, e.Attempt)
	l.requireHistoryHolds(x)
}

// An executor that lacks an image, or whose image lacks the agent's program, says so, and leaves the jobs of the
// runtime to another executor.
func TestFaultMissingImage(t *testing.T) {
	t.Parallel()
	for image, reason := range map[string]string{
		"airlock/none:dev":           "airlock/none:dev",
		"airlock/sandbox-claude:dev": "agent-offline", // only the image of offline has it
	} {
		t.Run(image, func(t *testing.T) { testMissingImage(t, image, reason) })
	}
}

func testMissingImage(t *testing.T, image, reason string) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	health := freeAddress(t)
	without := l.startExecutor("AIRLOCK_OFFLINE_IMAGE="+image, "AIRLOCK_HEALTH_LISTEN_ADDR="+health)
	accepted := []contract.AcceptedExecution{l.submit("one two")}
	l.eventually("the start has failed", func() bool {
		readiness, err := executorservice.AskReadiness(t.Context(), health)
		return err == nil && readiness.Status == executorservice.Ready && strings.Contains(readiness.UnavailableRuntimes["offline"], reason)
	})
	l.eventually("the run says so", func() bool {
		return l.getExecution(accepted[0].ExecutionId).WaitingFor == contract.WaitingForExecutor
	})

	with := l.startExecutor()
	accepted = append(accepted, l.submit("three"), l.submit("four"))
	for _, a := range accepted {
		e := l.awaitExecution(a.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		require.Equal(t, 1, e.Attempt, "no job was tried without the image")
	}
	l.requireHistoryHolds(without, with)
}

// The Engine answers, but starts nothing: its disk is full. No execution is lost, the executor says that it is not
// ready, and everything runs when the Engine is well again.
func TestFaultEngineStartsNothing(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	engine, err := faultproxy.ListenHTTP(filepath.Join(l.socketDir, "sick.sock"), engineSocket)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	health := freeAddress(t)
	x := l.startExecutor("DOCKER_HOST=unix://"+engine.Addr(), "AIRLOCK_HEALTH_LISTEN_ADDR="+health, "AIRLOCK_WARM_POOL_SIZE=0")
	engine.Set(func(e faultproxy.Exchange) bool {
		refused := strings.HasSuffix(e.Request.URL.Path, "/containers/create")
		if refused {
			e.Fail(http.StatusInternalServerError, "no space left on device")
		}
		return refused
	})
	var accepted []contract.AcceptedExecution
	for i := range 20 {
		accepted = append(accepted, l.submit(words(i+1)))
	}
	var readiness executorservice.Readiness
	l.eventually("not ready", func() bool {
		readiness, err = executorservice.AskReadiness(t.Context(), health)
		return err == nil && strings.Contains(readiness.Reason, "no space left on device")
	})
	require.Equal(t, executorservice.NotReady, readiness.Status)
	x.awaitLine(t, `("task":"pull executions".*no space left on device)`)

	engine.Set(nil)
	untouched := 0
	for _, a := range accepted {
		e := l.awaitExecution(a.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		if e.Attempt == 1 {
			untouched++
		}
	}
	require.Greater(t, untouched, len(accepted)/2, "the executor stopped pulling before it tried them")
	readiness, err = executorservice.AskReadiness(t.Context(), health)
	require.NoError(t, err)
	require.Equal(t, executorservice.Ready, readiness.Status)
	l.requireHistoryHolds(x)
}

// freeAddress returns an address of this machine on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// Two executors with the same name, which is a mistake of the operator, do not
// disturb each other: the number of the attempt decides who may write.
func TestFaultExecutorsWithSameName(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	name := id.New("test-")
	one, other := l.startExecutor("AIRLOCK_EXECUTOR_NAME="+name), l.startExecutor("AIRLOCK_EXECUTOR_NAME="+name)
	l.executorNames = []string{name}
	accepted := make([]contract.AcceptedExecution, 8)
	for i := range accepted {
		accepted[i] = l.submit(words(i + 1))
	}
	for _, a := range accepted {
		require.Equal(t, 1, l.awaitExecution(a.ExecutionId).Attempt)
	}
	l.requireHistoryHolds(one, other)
}

// dockerd is killed while jobs run, and started again. The jobs get another attempt.
func TestFaultEngineKilled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start an Engine")
	}
	t.Parallel()
	l := newFaultCluster(t, 0)
	engine := newEngine(t, "")
	l.docker = engine.client
	x := l.startExecutor("DOCKER_HOST=" + engine.host)
	running := []contract.AcceptedExecution{l.submit(`{"offline":{"sleep":"9s"}}`), l.submit(`{"offline":{"sleep":"10s"}}`)}
	l.awaitContainers(2)
	engine.kill()
	waiting := l.submit("one two")
	x.awaitLine(t, `("task":"pull executions")`) // pulling fails and is restarted until the Engine responds
	engine.start()
	for _, a := range running {
		e := l.awaitExecution(a.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		require.Equal(t, 2, e.Attempt)
	}
	require.Equal(t, contract.StatusSucceeded, l.awaitExecution(waiting.ExecutionId).Status)
	l.requireHistoryHolds(x)
}

// engine is a dockerd for one test, in its own namespaces. It has its own network
// namespace because a dockerd without a bridge removes docker0, which may belong
// to the host's. It has its own process and mount namespaces so that nothing is
// left of it after a kill.
type engine struct {
	t      *testing.T
	host   string
	dir    string
	client *client.Client
	cmd    *exec.Cmd
}

// With a size, such as 400m, its data are on a disk of that size, in memory.
func newEngine(t *testing.T, diskSize string) *engine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "airlock-engine-")
	require.NoError(t, err)
	if diskSize != "" {
		require.NoError(t, os.Mkdir(dir+"/data", 0o700))
		require.NoError(t, syscall.Mount("tmpfs", dir+"/data", "tmpfs", 0, "size="+diskSize))
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
		t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir+"/data", syscall.MNT_DETACH)) })
	}
	e := &engine{t: t, dir: dir, host: "unix://" + dir + "/engine.sock"}
	e.client, err = client.NewClientWithOpts(client.WithHost(e.host), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "daemon.json"), []byte("{}"), 0o600))
	e.start()
	t.Cleanup(func() {
		require.NoError(t, e.client.Close())
		e.kill()
		if diskSize == "" {
			require.NoError(t, os.RemoveAll(dir))
		}
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
	if !pollUntil(e.t, waitLimit, func() bool { _, err := e.client.Ping(context.Background()); return err == nil }) {
		text, _ := os.ReadFile(logs.Name())
		e.t.Fatalf("dockerd does not respond:\n%s", text)
	}
}

// kill ends dockerd as a crash of the machine does. All its processes end, because
// dockerd is the first process of its namespace. Its /run is removed: the process
// IDs in there would belong to other processes in the next namespace.
func (e *engine) kill() {
	e.t.Helper()
	parent := e.cmd.Process.Pid // unshare, which waits for dockerd
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	require.NoError(e.t, err)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(children))); err == nil { // else dockerd has already exited
		require.NoError(e.t, syscall.Kill(pid, syscall.SIGKILL))
	}
	_ = e.cmd.Wait() // returns that it was killed
	require.NoError(e.t, os.RemoveAll(e.dir+"/run"))
}

// load copies an image from the host's Engine.
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
