package e2e

import (
	"debug/elf"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/history"
)

// An executor that is killed at any failpoint loses nothing, and nothing happens
// twice: another executor continues from the stored state.
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
			second := l.submitTurn(first.ConversationId, "hello again")
			killed := l.startExecutor(failpointEnv(point), "AIRLOCK_EXECUTOR_SLOTS=1")
			killed.awaitKilled(t)
			l.clock.Advance(afterNotification) // before the start of the other: its own session must not end by that
			another := l.startExecutor()
			e := l.awaitExecution(first.ExecutionId)
			require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
			require.Equal(t, attempts, e.Attempt)
			require.Equal(t, contract.StatusSucceeded, l.awaitExecution(second.ExecutionId).Status)
			l.requireHistoryHolds(another)
		})
	}
}

// The API is killed after it has stored an execution and before it publishes the
// notification. The client has no 202, but the execution runs when it is due.
func TestFaultAPIKilledBeforeNotification(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	agent := l.createEchoAgent()
	killed := l.startAPI(failpointEnv(failpoint.Accepted))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.URL+"/agents/"+agent+"/run", strings.NewReader(`{"input":"hello"}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	_, err = http.DefaultClient.Do(req)
	require.Error(t, err, "the API sent no response")
	killed.awaitKilled(t)

	l.clock.Advance(afterNotification)
	x := l.startExecutor()
	l.startAPI()
	var list contract.ExecutionList
	l.get("/executions", &list)
	require.Len(t, list.Executions, 1)
	e := l.awaitExecution(list.Executions[0].Id)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 1, e.Attempt)
	l.requireHistoryHolds(x)
}

// A janitor is killed after it has changed an overdue execution and before it
// publishes the notification.
func TestFaultJanitorKilled(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	lost, err := store.New(l.firestore.Client).SubmitRun(t.Context(), store.RunRequest{ // without its notification
		Tenant: "local", AgentID: l.createEchoAgent(), Input: "one two",
	})
	require.NoError(t, err)
	l.recorder.RecordAcceptance(history.Acceptance{Execution: lost.Execution.ID})
	killed := l.startExecutor(failpointEnv(failpoint.Swept))
	l.clock.Advance(afterNotification)
	killed.awaitKilled(t)
	l.clock.Advance(2 * afterNotification) // the second interval is twice as long
	another := l.startExecutor()
	require.Equal(t, 1, l.awaitExecution(lost.Execution.ID).Attempt)
	l.requireHistoryHolds(another)
}

// A batch dispatcher is killed after it has created executions and before it
// publishes their notifications.
func TestFaultBatchDispatcherKilled(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	const total = 12
	b := l.submitBatch(l.createEchoAgent(), strings.Repeat(`"one two"`+"\n", total))
	l.recorder.RecordAcceptance(history.Acceptance{Batch: b.Id})
	l.startExecutor(failpointEnv(failpoint.BatchDispatched)).awaitKilled(t)
	l.clock.Advance(afterNotification)
	another := l.startExecutor()
	require.Equal(t, total, l.awaitBatch(b).Progress.Succeeded)
	l.requireHistoryHolds(another)
}

// An executor is stopped after its job has finished, and continues after another
// executor has claimed the execution. It has no effect any more.
func TestFaultExecutorResumesAfterLeaseExpired(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	accepted := l.submit("one two")
	stopped := l.startExecutor(failpointStopEnv(failpoint.JobFinished))
	l.awaitStopped(stopped)
	l.clock.Advance(afterLease)
	another := l.startExecutor()
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, 2, e.Attempt)
	require.NoError(t, stopped.Process.Signal(syscall.SIGCONT))
	// If its first write got no response, it may report the other executor's final state as its own. It only logs that.
	stopped.awaitLine(t, `(lease lost|could not write the result|"msg":"attempt finished")`)
	require.Equal(t, e, l.getExecution(accepted.ExecutionId))
	l.requireHistoryHolds(another, stopped)
}

// The shipped programs contain no failpoints.
func TestFaultReleaseHasNoFailpoints(t *testing.T) {
	t.Parallel()
	shipped, err := buildPrograms()
	require.NoError(t, err)
	withFailpoints, err := buildFailpointPrograms()
	require.NoError(t, err)
	for _, program := range []string{"airlock", "api", "executor"} {
		require.False(t, hasFailpoints(t, filepath.Join(shipped, program)), program)
		require.True(t, hasFailpoints(t, filepath.Join(withFailpoints, program)), program)
	}
}

// hasFailpoints reports whether a program contains the function failpoint.Hit. Without the tag failpoints the function
// is empty, so that the compiler leaves it out.
func hasFailpoints(t *testing.T, path string) bool {
	t.Helper()
	f, err := elf.Open(path)
	require.NoError(t, err)
	defer f.Close()
	symbols, err := f.Symbols()
	require.NoError(t, err)
	return slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return strings.HasSuffix(s.Name, "/internal/failpoint.Hit") })
}
