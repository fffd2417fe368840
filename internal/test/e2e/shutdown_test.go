package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// The first SIGINT lets a job go on for the grace; the second ends the process
// at once, and another executor does the job.
func TestSecondSignalExitsImmediately(t *testing.T) {
	t.Parallel()
	a, env := startCluster(t)
	impatient, name := startExecutor(t, append(env, "AIRLOCK_SHUTDOWN_GRACE=10m"))
	a.executorName = name
	accepted := a.runAgent(a.createAgent(offlineAgent).Id, `{"offline":{"sleep":"10s"}}`)
	a.eventually("runs in a container", func() bool { return len(a.containers()) == 1 })
	require.NoError(t, impatient.Process.Signal(syscall.SIGINT))
	impatient.awaitLine(t, `(stopping; jobs may go on)`)
	require.Equal(t, contract.StatusRunning, a.getExecution(accepted.ExecutionId).Status)

	impatient.signalAndWait(t, syscall.SIGINT)
	ended, ok := impatient.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && ended.Signal() == syscall.SIGINT, "it went on: %s", impatient.ProcessState)

	startExecutor(t, env)
	e := a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 2, e.Attempt)
}

// An executor that is told to stop hands back what its grace does not cover:
// another one has it at once, and no attempt is spent.
func TestHandedBackExecutionIsClaimedImmediately(t *testing.T) {
	t.Parallel()
	a, env := startCluster(t)
	first, name := startExecutor(t, append(env, "AIRLOCK_SHUTDOWN_GRACE=0s"))
	a.executorName = name
	accepted := a.runAgent(a.createAgent(offlineAgent).Id, `{"offline":{"sleep":"8s"}}`)
	a.eventually("runs in a container", func() bool { return len(a.containers()) == 1 })
	startExecutor(t, env)
	asked := time.Now()
	first.signalAndWait(t, syscall.SIGTERM)
	require.Zero(t, first.ProcessState.ExitCode())
	a.awaitNoContainers()
	a.eventually("runs again", func() bool { return a.getExecution(accepted.ExecutionId).Attempt == 2 })
	t.Logf("ran again %s after the stop was asked for", time.Since(asked).Round(time.Millisecond))
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(accepted.ExecutionId).Status)
}
