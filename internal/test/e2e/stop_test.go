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
func TestTheSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	a, env := cluster(t)
	impatient, name := executor(t, append(env, "SHUTDOWN_GRACE=10m"))
	a.name = name
	accepted := a.run(a.agent(offlineAgent).Id, `{"offline":{"sleep":"10s"}}`)
	a.eventually("runs in a container", func() bool { return len(a.containers()) == 1 })
	require.NoError(t, impatient.Process.Signal(syscall.SIGINT))
	impatient.await(t, `(stopping; jobs may go on)`)
	require.Equal(t, contract.StatusRunning, a.get(accepted.ExecutionId).Status)

	impatient.end(t, syscall.SIGINT)
	ended, ok := impatient.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && ended.Signal() == syscall.SIGINT, "it went on: %s", impatient.ProcessState)

	executor(t, env)
	e := a.await(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 2, e.Attempt)
}

// An executor that is told to stop hands back what its grace does not cover:
// another one has it at once, and no attempt is spent.
func TestWhatIsHandedBackIsTakenUpAtOnce(t *testing.T) {
	t.Parallel()
	a, env := cluster(t)
	first, name := executor(t, append(env, "SHUTDOWN_GRACE=0s"))
	a.name = name
	accepted := a.run(a.agent(offlineAgent).Id, `{"offline":{"sleep":"8s"}}`)
	a.eventually("runs in a container", func() bool { return len(a.containers()) == 1 })
	executor(t, env)
	asked := time.Now()
	first.end(t, syscall.SIGTERM)
	require.Zero(t, first.ProcessState.ExitCode())
	a.awaitNoContainers()
	a.eventually("runs again", func() bool { return a.get(accepted.ExecutionId).Attempt == 2 })
	t.Logf("ran again %s after the stop was asked for", time.Since(asked).Round(time.Millisecond))
	require.Equal(t, contract.StatusSucceeded, a.await(accepted.ExecutionId).Status)
}
