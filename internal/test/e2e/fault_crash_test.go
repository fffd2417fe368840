package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/history"
)

// An executor that is killed anywhere on its way loses nothing and does nothing
// twice: another one begins where the store says.
func TestFaultExecutorKilled(t *testing.T) {
	t.Parallel()
	for point, attempts := range map[failpoint.Point]int{
		failpoint.Pulled:        1,
		failpoint.Claimed:       2,
		failpoint.JobFinished:   2,
		failpoint.ResultWritten: 1,
		failpoint.Published:     1,
	} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			l := newFaultCluster(t, 0)
			first := l.submitTurn("", "hello")
			second := l.submitTurn(first.ConversationId, "are you there?")
			killed := l.startExecutor(t, failpointEnv(point), "AIRLOCK_EXECUTOR_SLOTS=1")
			killed.awaitKilled(t)
			another := l.startExecutor(t)
			l.clock.Advance(afterNotification)
			e := l.awaitExecution(first.ExecutionId)
			require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
			require.Equal(t, attempts, e.Attempt)
			require.Equal(t, contract.StatusSucceeded, l.awaitExecution(second.ExecutionId).Status)
			l.requireHistoryHolds(another)
		})
	}
}

// The API is killed when work is stored and not announced: nobody was promised
// anything, and yet it runs once it is due.
func TestFaultAPIKilledBeforeNotification(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	agent := l.createEchoAgent()
	killed := l.startAPI(t, failpointEnv(failpoint.Accepted))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.URL+"/agents/"+agent+"/run", strings.NewReader(`{"input":"hello"}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	_, err = http.DefaultClient.Do(req)
	require.Error(t, err, "there is no 202")
	killed.awaitKilled(t)

	x := l.startExecutor(t)
	l.startAPI(t)
	var list contract.ExecutionList
	l.call(http.MethodGet, "/executions", http.StatusOK, nil, &list)
	require.Len(t, list.Executions, 1)
	l.clock.Advance(afterNotification)
	e := l.awaitExecution(list.Executions[0].Id)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 1, e.Attempt)
	l.requireHistoryHolds(x)
}

// A janitor is killed when it has put an execution right and not announced it.
func TestFaultJanitorKilled(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	l.apiDeps.pubsub.Set(faultproxy.Unreachable)
	accepted := l.submit("one two")
	l.apiDeps.pubsub.Clear()
	killed := l.startExecutor(t, failpointEnv(failpoint.Swept))
	l.clock.Advance(afterNotification)
	killed.awaitKilled(t)
	another := l.startExecutor(t)
	l.clock.Advance(2 * afterNotification) // the second time it waits twice as long
	require.Equal(t, 1, l.awaitExecution(accepted.ExecutionId).Attempt)
	l.requireHistoryHolds(another)
}

// A feeder is killed when it has made executions and not announced them.
func TestFaultBatchDispatcherKilled(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0, "AIRLOCK_BATCH_WINDOW=5")
	const total = 12
	b := l.submitBatch(l.createEchoAgent(), strings.Repeat(`"one two"`+"\n", total))
	l.recorder.RecordAcceptance(history.Acceptance{Batch: b.Id})
	l.startExecutor(t, failpointEnv(failpoint.BatchDispatched)).awaitKilled(t)
	another := l.startExecutor(t)
	l.clock.Advance(afterNotification)
	require.Equal(t, total, l.awaitBatch(b).Progress.Succeeded)
	l.requireHistoryHolds(another)
}

// An executor is stopped when its job has ended, and goes on when another has
// the execution: nothing that it does has an effect.
func TestFaultExecutorResumesAfterLeaseExpired(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	accepted := l.submit("one two")
	stopped := l.startExecutor(t, failpointStopEnv(failpoint.JobFinished))
	l.awaitStopped(stopped)
	l.clock.Advance(afterLease)
	another := l.startExecutor(t)
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, 2, e.Attempt)
	require.NoError(t, stopped.Process.Signal(syscall.SIGCONT))
	// It may take another's end for its own, where its first try was not answered; that is only said, not written.
	stopped.awaitLine(t, `(lease lost|could not write the result|"msg":"attempt finished")`)
	require.Equal(t, e, l.getExecution(accepted.ExecutionId))
	l.requireHistoryHolds(another, stopped)
}

// What is shipped has no crash points.
func TestFaultReleaseHasNoFailpoints(t *testing.T) {
	t.Parallel()
	shipped, err := buildPrograms()
	require.NoError(t, err)
	withFailpoints, err := buildFailpointPrograms()
	require.NoError(t, err)
	name, _, _ := strings.Cut(failpointEnv(""), "=")
	for _, program := range []string{"airlock", "api", "executor"} {
		clean, err := os.ReadFile(filepath.Join(shipped, program))
		require.NoError(t, err)
		require.False(t, bytes.Contains(clean, []byte(name)), program)
	}
	marked, err := os.ReadFile(filepath.Join(withFailpoints, "executor"))
	require.NoError(t, err)
	require.True(t, bytes.Contains(marked, []byte(name)), "this test looks for the right thing")
}
