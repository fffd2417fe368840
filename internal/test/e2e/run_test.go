package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/receipt"
)

var offlineAgent = contract.CreateAgent{Name: "Echo", Instructions: "Count the words", Runtime: "offline"}

func TestTenConcurrentRuns(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	var submissions sync.WaitGroup
	accepted := make([]contract.AcceptedExecution, 10)
	for i := range accepted {
		submissions.Go(func() { accepted[i] = a.runAgent(agent.Id, fmt.Sprintf("these are four-plus-%d words", i)) })
	}
	submissions.Wait()
	for i := range accepted {
		e := a.awaitExecution(accepted[i].ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		require.Equal(t, fmt.Sprintf("these are four-plus-%d words", i), e.Input)
		require.Contains(t, e.Result.Text, "4")
	}
	a.awaitNoContainers()
}

// A job that exceeds a limit of the sandbox fails with the code of that limit.
func TestSandboxLimits(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	for name, tc := range map[string]struct {
		input, timeout string
		status         contract.Status
		code           contract.FailureCode
	}{
		"more memory than 1 GiB":   {`{"offline":{"allocateMiB":2048}}`, "60s", contract.StatusFailed, contract.FailureCodeOutOfMemory},
		"longer than the time-out": {`{"offline":{"sleep":"60s"}}`, "2s", contract.StatusTimedOut, contract.FailureCodeTimedOut},
		"an exit code":             {`{"offline":{"exit":3}}`, "30s", contract.StatusFailed, contract.FailureCodeAgentError},
		"memory within the limit":  {`{"offline":{"allocateMiB":64}}`, "30s", contract.StatusSucceeded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			accepted := a.submitRun(agent.Id, contract.RunAgent{Input: tc.input, Timeout: tc.timeout})
			e := a.awaitExecution(accepted.ExecutionId)
			require.Equal(t, tc.status, e.Status, "%+v", e.Error)
			require.Equal(t, tc.code, e.Error.Code)
			require.Equal(t, 1, e.Attempt, "a failure of the job is not retried")
		})
	}
	a.awaitNoContainers()
}

func TestCancel(t *testing.T) {
	t.Parallel()
	a := start(t, func(d *dev.Config) { d.Executor.Slots, d.Executor.ReservedSlots = 1, 0 })
	agent := a.createAgent(offlineAgent)
	running := a.runAgent(agent.Id, `{"offline":{"sleep":"60s"}}`)
	a.awaitContainers(1)
	a.awaitStatus(running.ExecutionId, contract.StatusRunning)
	queued := a.runAgent(agent.Id, "waits for the slot")

	var e contract.Execution
	a.cancel(queued.Urls.Cancel).decode(t, &e)
	require.Equal(t, contract.StatusCanceled, e.Status, "a queued execution ends immediately")
	require.Zero(t, e.Attempt)

	requested := time.Now()
	a.cancel(running.Urls.Cancel).decode(t, &e)
	require.True(t, e.CancelRequested)
	require.Equal(t, contract.StatusCanceled, a.awaitExecution(running.ExecutionId).Status)
	t.Logf("the job ended %s after the request", time.Since(requested))
	a.awaitNoContainers()

	a.cancel(running.Urls.Cancel).decode(t, &e)
	require.Equal(t, contract.StatusCanceled, e.Status, "a second cancellation changes nothing")
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(a.runAgent(agent.Id, "one two").ExecutionId).Status, "the slot is free again")
}

// Another tenant's resource returns the same 404 as a missing one.
func TestTenantIsolation(t *testing.T) {
	t.Parallel()
	a := start(t)
	ada, bob := a.asTenant("ada"), a.asTenant("bob")
	agent := ada.createAgent(offlineAgent)
	run := ada.runAgent(agent.Id, "a secret of three words")
	turn := ada.sendMessage(contract.SendMessage{Message: "another secret"})
	require.Equal(t, contract.StatusSucceeded, ada.awaitExecution(run.ExecutionId).Status)
	require.Equal(t, contract.StatusSucceeded, ada.awaitExecution(turn.ExecutionId).Status)

	for _, path := range []string{"/agents/" + agent.Id, run.Urls.Self, turn.Urls.Conversation} {
		ada.call(http.MethodGet, path, http.StatusOK, nil)
		got := bob.call(http.MethodGet, path, http.StatusNotFound, nil)
		require.NotContains(t, string(got.body), "secret")
	}
	bob.call(http.MethodPost, run.Urls.Cancel, http.StatusNotFound, nil)
	bob.call(http.MethodPost, "/agents/"+agent.Id+"/run", http.StatusNotFound, contract.RunAgent{Input: "x"})
	bob.call(http.MethodPost, "/api/conversation", http.StatusNotFound, contract.SendMessage{Message: "x", ConversationId: turn.ConversationId})

	var executions contract.ExecutionList
	bob.get("/executions", &executions)
	require.Empty(t, executions.Executions)
	ada.get("/executions", &executions)
	require.Len(t, executions.Executions, 2)
}

// A long poll returns because of the signal that the execution has finished, and
// not because of its next read.
func TestLongPollReturnsOnFinish(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	// A long poll without a signal reads again after 2 s and after 4 s. The job ends soon after the first of them. On a
	// busy machine the signal may be late, but not every time.
	a.eventually("a long poll returns within 0.5 s of the end", func() bool {
		e := a.awaitExecution(a.runAgent(agent.Id, `{"offline":{"sleep":"2s"}}`).ExecutionId)
		return time.Since(e.FinishedAt) < time.Second/2
	})
}

// An execution that was accepted without an executor runs after a restart with one.
func TestExecutionsSurviveRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	onDisk := func(d *dev.Config) { d.Emulators.Dir = dir }
	a := start(t, onDisk, func(d *dev.Config) { d.NoExecutor = true })
	agent := a.createAgent(offlineAgent)
	accepted := a.runAgent(agent.Id, "one two three")
	require.Equal(t, contract.StatusQueued, a.getExecution(accepted.ExecutionId).Status)
	a.stop()

	restarted := start(t, onDisk)
	e := restarted.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Contains(t, e.Result.Text, "3")
}

// An execution whose job still runs at the end of the grace period is handed back,
// and another executor runs it.
func TestShutdownHandsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	onDisk := func(d *dev.Config) { d.Emulators.Dir = dir }
	a := start(t, onDisk, func(d *dev.Config) { d.Executor.ShutdownGracePeriod = 100 * time.Millisecond })
	agent := a.createAgent(offlineAgent)
	accepted := a.runAgent(agent.Id, `{"offline":{"sleep":"8s"}}`)
	a.awaitContainers(1)
	began := time.Now()
	a.stop()
	require.Less(t, time.Since(began), recoveryLimit, "a handed back execution must wait less than that of a killed executor")

	restarted := start(t, onDisk)
	e := restarted.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 2, e.Attempt)
}

// With a warm pool, a job gets a container that is already started. Each job has
// its own container, and none is left at the end.
func TestWarmPool(t *testing.T) {
	t.Parallel()
	a := start(t, func(d *dev.Config) { d.Executor.WarmPoolSize = 1 })
	agent := a.createAgent(offlineAgent)
	used, warm := map[string]bool{}, false
	run := func() {
		a.eventually("a container waits", func() bool { return len(a.containers()) >= 1 })
		e := a.awaitExecution(a.runAgent(agent.Id, "one two").ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status)
		var r receipt.Receipt
		require.NoError(t, json.Unmarshal(e.Receipt, &r))
		require.False(t, used[r.Sandbox.Container], "a container was used twice")
		used[r.Sandbox.Container] = true
		warm = warm || r.Sandbox.Warm
	}
	for range 3 {
		run()
	}
	// On a busy machine the container that waits may not be ready yet for the next job.
	a.eventually("a job gets a warm container", func() bool {
		if !warm {
			run()
		}
		return warm
	})
}
