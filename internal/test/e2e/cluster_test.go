package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// cluster is an Airlock of real processes. newCluster and newFaultCluster create it.
type cluster struct {
	*airlock
	programDir    string // folder of the programs; empty: of the shipped ones
	apiEnv        []string
	executorEnv   []string
	socketDir     string
	apiProcess    *process
	executorNames []string // of all executors so far; the first one is the airlock's executorName
}

// newCluster starts emulators and an API. apiEnv is for the API alone.
func newCluster(t *testing.T, apiEnv ...string) *cluster {
	t.Helper()
	e := &emulators{t: t, firestore: "127.0.0.1:0", pubsub: "127.0.0.1:0"}
	e.start()
	c := &cluster{airlock: &airlock{t: t, docker: newDockerClient(t)}, socketDir: newSocketDir(t)}
	env := append(c.commonEnv(), "FIRESTORE_EMULATOR_HOST="+e.firestore, "PUBSUB_EMULATOR_HOST="+e.pubsub)
	c.apiEnv, c.executorEnv = slices.Concat(env, apiEnv), env
	c.startAPI()
	return c
}

// commonEnv returns the part of the environment that the API and the executors share.
func (c *cluster) commonEnv() []string {
	return []string{
		"AIRLOCK_AUTH_MODE=dev", "AIRLOCK_BLOB_URL=file://" + c.t.TempDir(), "AIRLOCK_SANDBOX_SOCKET_DIR=" + filepath.Join(c.socketDir, "egress"),
		"AIRLOCK_WARM_POOL_SIZE=0", "AIRLOCK_EXECUTOR_SLOTS=4", "AIRLOCK_SHUTDOWN_GRACE=5s",
	}
}

// startAPI starts an API, which the following requests use, and waits until it is ready.
func (c *cluster) startAPI(env ...string) *process {
	c.t.Helper()
	p := c.startAPIAsync(env...)
	c.awaitReady()
	return p
}

// startAPIAsync starts an API, which the following requests use, and does not wait until it is ready.
func (c *cluster) startAPIAsync(env ...string) *process {
	c.t.Helper()
	env = slices.Concat(c.apiEnv, env, []string{"AIRLOCK_LISTEN_ADDR=127.0.0.1:0"})
	c.apiProcess = program{dir: c.programDir, name: "api", env: env}.start(c.t)
	c.URL = "http://" + c.apiProcess.awaitLine(c.t, `"API is listening".*"address":"([^"]+)"`)
	return c.apiProcess
}

// startExecutor starts an executor and waits until it pulls executions.
func (c *cluster) startExecutor(env ...string) *process {
	c.t.Helper()
	p := c.startExecutorAsync(env...)
	p.awaitLine(c.t, `(pulling executions)`)
	return p
}

// startExecutorAsync starts an executor and does not wait until it can pull.
func (c *cluster) startExecutorAsync(env ...string) *process {
	c.t.Helper()
	name := id.New("test-")
	c.executorNames = append(c.executorNames, name)
	c.executorName = c.executorNames[0]
	env = slices.Concat(c.executorEnv, []string{"AIRLOCK_EXECUTOR_NAME=" + name}, env)
	return program{dir: c.programDir, name: "executor", env: env}.start(c.t)
}

// An executor that is killed loses nothing: another one runs its job again
// within 30 s, and removes the container that is left.
func TestKilledExecutor(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first := c.startExecutor()
	accepted := c.runAgent(c.createAgent(offlineAgent).Id, `{"offline":{"sleep":"8s"}}`)
	c.awaitContainers(1)
	first.signalAndWait(t, syscall.SIGKILL)
	killed := time.Now()
	require.Len(t, c.containers(), 1, "the container outlives its killed executor")

	second := c.startExecutor()
	c.awaitNoContainers() // the second executor removes it
	e := c.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 2, e.Attempt)
	require.Less(t, e.StartedAt.Sub(killed), recoveryLimit)
	t.Logf("the second attempt started %s after the kill", e.StartedAt.Sub(killed).Round(time.Millisecond))
	second.signalAndWait(t, syscall.SIGTERM)
	require.Zero(t, second.ProcessState.ExitCode())
}

// The first SIGINT lets jobs finish within the grace period. The second one
// ends the process immediately, and another executor runs the job again.
func TestSecondSignalExitsImmediately(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first := c.startExecutor("AIRLOCK_SHUTDOWN_GRACE=10m")
	accepted := c.runAgent(c.createAgent(offlineAgent).Id, `{"offline":{"sleep":"10s"}}`)
	c.awaitContainers(1)
	require.NoError(t, first.Process.Signal(os.Interrupt))
	first.awaitLine(t, `(stopping: running jobs)`)
	require.Equal(t, contract.StatusRunning, c.getExecution(accepted.ExecutionId).Status)

	first.signalAndWait(t, os.Interrupt)
	status, ok := first.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && status.Signal() == syscall.SIGINT, "it ended with %s", first.ProcessState)

	c.startExecutor()
	e := c.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 2, e.Attempt)
}

// An executor that is told to stop hands back the jobs that its grace period
// does not cover. Another one claims them immediately.
func TestHandedBackExecutionIsClaimedImmediately(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first := c.startExecutor("AIRLOCK_SHUTDOWN_GRACE=0s")
	accepted := c.runAgent(c.createAgent(offlineAgent).Id, `{"offline":{"sleep":"8s"}}`)
	c.awaitContainers(1)
	c.startExecutor()
	stopped := time.Now()
	first.signalAndWait(t, syscall.SIGTERM)
	require.Zero(t, first.ProcessState.ExitCode())
	c.awaitNoContainers()
	c.awaitAttempt(accepted.ExecutionId, 2)
	t.Logf("the second attempt started %s after the signal", time.Since(stopped).Round(time.Millisecond))
	require.Equal(t, contract.StatusSucceeded, c.awaitExecution(accepted.ExecutionId).Status)
}
