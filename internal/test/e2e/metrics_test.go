package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// The metrics match what happened. They belong to a process, so this Airlock is a
// separate process.
func TestMetrics(t *testing.T) {
	t.Parallel()
	name := id.New("test-")
	dev := program{
		name: "airlock",
		env: []string{
			"AIRLOCK_SANDBOX_SOCKET_DIR=" + newSocketDir(t), "AIRLOCK_WARM_POOL_SIZE=0", "AIRLOCK_EXECUTOR_SLOTS=1", "AIRLOCK_EXECUTOR_NAME=" + name,
		},
		args: []string{"dev", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--pubsub", "127.0.0.1:0", "--firestore", "127.0.0.1:0", "--firestore-indexes", indexesFile},
	}.start(t)
	a := &airlock{t: t, URL: dev.awaitLine(t, `Airlock +(http://\S+)`), docker: newDockerClient(t), executorName: name}
	a.awaitReady()

	agent := a.createAgent(offlineAgent)
	for _, input := range []string{"one", "one two", `{"offline":{"exit":3}}`} {
		a.awaitExecution(a.runAgent(agent.Id, input).ExecutionId)
	}
	running := a.runAgent(agent.Id, `{"offline":{"sleep":"60s"}}`)
	a.awaitStatus(running.ExecutionId, contract.StatusRunning)
	queued := a.runAgent(agent.Id, "waits for a slot")
	for _, e := range []contract.AcceptedExecution{queued, running} {
		a.cancel(e.Urls.Cancel)
		require.Equal(t, contract.StatusCanceled, a.awaitExecution(e.ExecutionId).Status)
	}
	require.Equal(t, 1, a.awaitBatch(a.submitBatch(agent.Id, "\"one\"\n")).Progress.Succeeded)

	var values map[string]string
	a.eventually("the last attempt has finished", func() bool {
		values = a.metrics()
		return values["airlock_executor_slots_busy"] == "0"
	})
	for series, value := range map[string]string{
		`airlock_executions_finished_total{code="",lane="interactive",runtime="offline",status="succeeded"}`:         "2",
		`airlock_executions_finished_total{code="",lane="batch",runtime="offline",status="succeeded"}`:               "1",
		`airlock_executions_finished_total{code="agent_error",lane="interactive",runtime="offline",status="failed"}`: "1",
		`airlock_executions_finished_total{code="canceled",lane="interactive",runtime="offline",status="canceled"}`:  "2", // one of them without an attempt
		`airlock_attempt_seconds_count{runtime="offline"}`:                                                           "5",
		`airlock_dispatch_seconds_count{lane="interactive"}`:                                                         "4",
		`airlock_attempts_failed_total`:           "0",
		`airlock_executor_slots`:                  "1",
		`airlock_executions_running`:              "0",
		`airlock_batches_in_progress`:             "0",
		`airlock_queue_depth{lane="interactive"}`: "0",
		`airlock_queue_depth{lane="batch"}`:       "0",
		`airlock_http_requests_total{method="POST",route="/agents/:id/run",status="202"}`: "5",
	} {
		require.Equal(t, value, values[series], series)
	}
	dev.signalAndWait(t, syscall.SIGTERM)
	require.Empty(t, a.containers())
}

// metrics returns the value of each series, as Prometheus reads it.
func (a *airlock) metrics() map[string]string {
	a.t.Helper()
	values := map[string]string{}
	for line := range strings.Lines(string(a.do(http.MethodGet, "/metrics", "", nil).body)) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			values[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return values
}
