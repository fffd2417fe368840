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
	var posting sync.WaitGroup
	accepted := make([]contract.AcceptedExecution, 10)
	for i := range accepted {
		posting.Go(func() { accepted[i] = a.runAgent(agent.Id, fmt.Sprintf("these are four-plus-%d words", i)) })
	}
	posting.Wait()
	for i, one := range accepted {
		e := a.awaitExecution(one.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		require.Equal(t, fmt.Sprintf("these are four-plus-%d words", i), e.Input)
		require.Contains(t, e.Result.Text, "4")
	}
	a.awaitNoContainers()
}

// The limits of the sandbox, as the tenant of an execution sees them.
func TestLimits(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	for name, tc := range map[string]struct {
		input, timeout string
		status         contract.Status
		code           contract.FailureCode
	}{
		"more memory than 1 GiB":    {`{"offline":{"allocateMiB":2048}}`, "60s", contract.StatusFailed, contract.FailureCodeOutOfMemory},
		"longer than the time-out":  {`{"offline":{"sleep":"60s"}}`, "2s", contract.StatusTimedOut, contract.FailureCodeTimedOut},
		"an exit code of its own":   {`{"offline":{"exit":3}}`, "30s", contract.StatusFailed, contract.FailureCodeAgentError},
		"within its memory is fine": {`{"offline":{"allocateMiB":64}}`, "30s", contract.StatusSucceeded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var accepted contract.AcceptedExecution
			a.call(http.MethodPost, "/agents/"+agent.Id+"/run", http.StatusAccepted, contract.RunAgent{Input: tc.input, Timeout: tc.timeout}, &accepted)
			e := a.awaitExecution(accepted.ExecutionId)
			require.Equal(t, tc.status, e.Status, "%+v", e.Error)
			require.Equal(t, tc.code, e.Error.Code)
			require.Equal(t, 1, e.Attempt, "a job's own failure is not tried again")
		})
	}
	a.awaitNoContainers()
}

func TestCancel(t *testing.T) {
	t.Parallel()
	a := start(t, func(d *dev.Config) { d.Executor.Slots, d.Executor.ReservedSlots = 1, 0 })
	agent := a.createAgent(offlineAgent)
	running := a.runAgent(agent.Id, `{"offline":{"sleep":"60s"}}`)
	a.eventually("runs in a container", func() bool {
		return a.getExecution(running.ExecutionId).Status == contract.StatusRunning && len(a.containers()) == 1
	})
	queued := a.runAgent(agent.Id, "never to be run")

	var e contract.Execution
	a.call(http.MethodPost, queued.Urls.Cancel, http.StatusAccepted, nil, &e)
	require.Equal(t, contract.StatusCanceled, e.Status, "what is queued ends at once")
	require.Zero(t, e.Attempt)

	requested := time.Now()
	a.call(http.MethodPost, running.Urls.Cancel, http.StatusAccepted, nil, &e)
	require.True(t, e.CancelRequested)
	require.Equal(t, contract.StatusCanceled, a.awaitExecution(running.ExecutionId).Status)
	t.Logf("cancelled %s after it was asked for", time.Since(requested))
	a.awaitNoContainers()

	a.call(http.MethodPost, running.Urls.Cancel, http.StatusAccepted, nil, &e)
	require.Equal(t, contract.StatusCanceled, e.Status, "again changes nothing")
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(a.runAgent(agent.Id, "one two").ExecutionId).Status, "the slot is free again")
}

// Another's resources are the same 404 as those that never were.
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
		ada.call(http.MethodGet, path, http.StatusOK, nil, nil)
		theirs := bob.call(http.MethodGet, path, http.StatusNotFound, nil, nil)
		require.NotContains(t, string(theirs.body), "secret")
	}
	bob.call(http.MethodPost, run.Urls.Cancel, http.StatusNotFound, nil, nil)
	bob.call(http.MethodPost, "/agents/"+agent.Id+"/run", http.StatusNotFound, contract.RunAgent{Input: "x"}, nil)
	bob.call(http.MethodPost, "/api/conversation", http.StatusNotFound, contract.SendMessage{Message: "x", ConversationId: turn.ConversationId}, nil)

	var executions contract.ExecutionList
	bob.call(http.MethodGet, "/executions", http.StatusOK, nil, &executions)
	require.Empty(t, executions.Executions)
	ada.call(http.MethodGet, "/executions", http.StatusOK, nil, &executions)
	require.Len(t, executions.Executions, 2)
}

// A long poll answers the moment the execution ends, not at its next look.
func TestLongPollReturnsOnFinish(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	// A poll that hears nothing reads again after 2 s and 4 s; the job ends soon
	// after the first. A busy machine is late, but not each time.
	for range 10 {
		e := a.awaitExecution(a.runAgent(agent.Id, `{"offline":{"sleep":"2s"}}`).ExecutionId)
		if time.Since(e.FinishedAt) < time.Second/2 {
			return
		}
	}
	t.Fatal("no signal was heard: answered only by reading again")
}

// What was accepted while nothing could run it runs once something can, also
// after everything was restarted.
func TestExecutionsSurviveRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	onDisk := func(d *dev.Config) { d.Emulators.Dir = dir }
	a := start(t, onDisk, func(d *dev.Config) { d.NoExecutor = true })
	agent := a.createAgent(offlineAgent)
	accepted := a.runAgent(agent.Id, "one two three")
	require.Equal(t, contract.StatusQueued, a.getExecution(accepted.ExecutionId).Status)
	a.stop()

	b := start(t, onDisk)
	e := b.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Contains(t, e.Result.Text, "3")
}

// A job that is still running when the grace is over goes back to the queue,
// and its attempt is not counted against it.
func TestShutdownHandsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	onDisk := func(d *dev.Config) { d.Emulators.Dir = dir }
	a := start(t, onDisk, func(d *dev.Config) { d.Executor.ShutdownGracePeriod = 100 * time.Millisecond })
	agent := a.createAgent(offlineAgent)
	accepted := a.runAgent(agent.Id, `{"offline":{"sleep":"8s"}}`)
	a.eventually("runs", func() bool { return len(a.containers()) == 1 })
	began := time.Now()
	a.stop()
	require.Less(t, time.Since(began), 10*time.Second)

	b := start(t, onDisk)
	e := b.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 2, e.Attempt)
}

// With a warm pool a job finds its container started; each still has one of
// its own, and all of them are gone at the end.
func TestWarmPool(t *testing.T) {
	t.Parallel()
	a := start(t, func(d *dev.Config) { d.Executor.WarmPoolSize = 1 })
	agent := a.createAgent(offlineAgent)
	used, warm := map[string]bool{}, false
	for range 3 {
		a.eventually("one waits", func() bool { return len(a.containers()) >= 1 })
		e := a.awaitExecution(a.runAgent(agent.Id, "one two").ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status)
		var r receipt.Receipt
		require.NoError(t, json.Unmarshal(e.Receipt, &r))
		require.False(t, used[r.Sandbox.Container], "a container was used twice")
		used[r.Sandbox.Container] = true
		warm = warm || r.Sandbox.Warm
	}
	require.True(t, warm, "no job found a container started")
}
