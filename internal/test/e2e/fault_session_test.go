package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// The leader is paused with the jobs that it runs, for about a minute: until another process leads, and another
// executor has done its jobs. When it continues, one of its jobs has ended, and the other one still runs. It kills that
// one, changes neither execution, and takes jobs in its next session.
func TestFaultPausedExecutor(t *testing.T) {
	t.Parallel()
	skipLeases(t)
	l := newFaultCluster(t, 0)
	paused := l.startExecutor()
	ended, unfinished := l.submit(`{"offline":{"sleep":"15s"}}`), l.submit(`{"offline":{"sleep":"35s"}}`)
	l.awaitContainers(2)
	l.awaitStatus(ended.ExecutionId, contract.StatusRunning)
	l.awaitStatus(unfinished.ExecutionId, contract.StatusRunning)
	require.NoError(t, paused.Process.Signal(syscall.SIGSTOP))
	from := time.Now()
	for _, c := range l.containers() {
		if c.Labels["airlock.execution"] == unfinished.ExecutionId {
			require.NoError(t, l.docker.ContainerPause(t.Context(), c.ID))
		}
	}

	another := l.startExecutor()
	var finished []contract.Execution
	var sessions []string
	for _, a := range []contract.AcceptedExecution{ended, unfinished} {
		e := l.awaitExecution(a.ExecutionId)
		finished = append(finished, e)
		sessions = append(sessions, l.requireMoved(e, l.executorNames[0], l.executorNames[1]))
	}
	require.Equal(t, sessions[0], sessions[1])
	require.Len(t, l.containers(), 2, "they are the paused executor's")

	t.Logf("paused for %s", time.Since(from).Round(time.Millisecond))
	require.NoError(t, paused.Process.Signal(syscall.SIGCONT))
	l.awaitNoContainers()
	l.requireTakesJobsAgain(paused, l.executorNames[0], sessions[0], another)
	for _, e := range finished {
		require.Equal(t, e, l.getExecution(e.Id))
	}
	l.requireHistoryHolds(paused)
}

// An executor is cut off from Firestore and Pub/Sub while it runs a job. By its own clock it knows when its session
// ends, and kills the job. Another executor runs it meanwhile. What the first one has sent arrives late, and has no
// effect. It then takes jobs in its next session.
func TestFaultPartitionedExecutor(t *testing.T) {
	t.Parallel()
	skipLeases(t)
	for name, fault := range map[string]faultproxy.Fault{"unreachable": faultproxy.Unreachable, "black hole": faultproxy.BlackHole} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const job = 35 * time.Second
			l := newFaultCluster(t, 0)
			deps := []dependencies{l.startDependencies(), l.startDependencies()}
			executors := []*process{l.startExecutor(deps[0].env()...), l.startExecutor(deps[1].env()...)}
			accepted := l.submit(`{"offline":{"sleep":"` + job.String() + `"}}`)
			l.awaitStatus(accepted.ExecutionId, contract.StatusRunning)
			first := l.attempts(accepted.ExecutionId)[0]
			cut, other := 0, 1
			if first.Executor != l.executorNames[cut] {
				cut, other = other, cut
			}
			l.executorName = l.executorNames[cut]
			l.awaitContainers(1)

			deps[cut].set(fault)
			from := time.Now()
			executors[cut].awaitLine(t, `(the session is lost)`)
			l.awaitNoContainers()
			require.Less(t, time.Since(first.ClaimedAt), job, "the job was killed") // Firestore's clock is this machine's
			t.Logf("cut off for %s when the job was gone", time.Since(from).Round(time.Millisecond))
			e := l.awaitExecution(accepted.ExecutionId)
			session := l.requireMoved(e, l.executorNames[cut], l.executorNames[other])

			deps[cut].set(faultproxy.Fault{})
			l.requireTakesJobsAgain(executors[cut], l.executorNames[cut], session, executors[other])
			require.Equal(t, e, l.getExecution(e.Id))
			l.requireHistoryHolds(executors[cut])
		})
	}
}

// skipLeases skips a test that waits for leases to expire, and for jobs that take longer than a lease.
func skipLeases(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it waits for leases to expire")
	}
}

func (a *airlock) attempts(executionID string) []contract.Attempt {
	a.t.Helper()
	var list contract.AttemptList
	a.get("/executions/"+executionID+"/attempts", &list)
	return list.Attempts
}

// requireMoved requires that the lease of the first attempt expired and that the second one, of another executor,
// succeeded. It returns the session that was lost.
func (l *faultCluster) requireMoved(e contract.Execution, from, to string) (lost string) {
	l.t.Helper()
	require.Equal(l.t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	attempts := l.attempts(e.Id)
	require.Len(l.t, attempts, 2)
	require.Equal(l.t, from, attempts[0].Executor)
	require.EqualValues(l.t, "lease_expired", attempts[0].Outcome)
	require.Equal(l.t, to, attempts[1].Executor)
	require.EqualValues(l.t, "succeeded", attempts[1].Outcome)
	return attempts[0].Session
}

// requireTakesJobsAgain requires that an executor begins another session than the one it has lost, and takes a job in
// it. It stops the other executor before.
func (l *faultCluster) requireTakesJobsAgain(x *process, name, lost string, other *process) {
	l.t.Helper()
	next := x.awaitLine(l.t, `"msg":"session began".*"session":"([^"]+)"`)
	require.NotEqual(l.t, lost, next)
	other.signalAndWait(l.t, syscall.SIGTERM)
	e := l.awaitExecution(l.submit("one two").ExecutionId)
	require.Equal(l.t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	attempts := l.attempts(e.Id)
	require.Len(l.t, attempts, 1)
	require.Equal(l.t, name, attempts[0].Executor)
	require.Equal(l.t, next, attempts[0].Session)
}
