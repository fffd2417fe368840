package e2e

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/history"
)

// Firestore is unreachable when an executor claims an execution. The execution
// runs when Firestore is reachable again.
func TestFaultFirestoreUnreachableAtClaim(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faultproxy.Fault{
		"unreachable": faultproxy.Unreachable, "black hole": faultproxy.BlackHole, "no responses": faultproxy.NoResponses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newFaultCluster(t, 0)
			x := l.startExecutor()
			l.executorDeps.firestore.Set(f)
			accepted := l.submit("one two")
			x.awaitLine(t, `(could not claim)`)
			l.executorDeps.firestore.Clear()
			l.clock.Advance(afterNotification) // the claim may have succeeded, with a lost response
			e := l.awaitExecution(accepted.ExecutionId)
			require.Equal(t, contract.StatusSucceeded, e.Status)
			l.requireHistoryHolds(x)
		})
	}
}

// Firestore is unreachable while a job runs, for less than the lease. The attempt
// continues.
func TestFaultFirestoreUnreachableForOneHeartbeat(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor()
	accepted := l.submit(`{"offline":{"sleep":"12s"}}`) // beyond the heartbeat that fails
	x.awaitLine(t, `("msg":"running")`)
	l.executorDeps.firestore.Set(faultproxy.Unreachable)
	x.awaitLine(t, `(could not renew the session)`)
	l.executorDeps.firestore.Clear()
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 1, e.Attempt)
	l.requireHistoryHolds(x)
}

// Firestore is unreachable for longer than the lease. The executor stops the job
// by itself, and the execution gets another attempt.
func TestFaultFirestoreUnreachableBeyondLease(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor()
	accepted := l.submit(`{"offline":{"sleep":"25s"}}`)
	x.awaitLine(t, `("msg":"running")`)
	from := time.Now()
	l.executorDeps.firestore.Set(faultproxy.BlackHole)
	x.awaitLine(t, `(the session is lost)`)
	l.executorDeps.firestore.ResetConnections()
	l.executorDeps.firestore.Clear()
	l.recorder.RecordOutage(history.TimeRange{From: from, To: time.Now()})
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 2, e.Attempt)
	l.requireHistoryHolds(x)
}

// Firestore is unreachable when a job has finished. The executor writes the final
// state when Firestore is reachable again.
func TestFaultFirestoreUnreachableAtFinish(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faultproxy.Fault{"unreachable": faultproxy.Unreachable, "no responses": faultproxy.NoResponses} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newFaultCluster(t, 0)
			x := l.startExecutor()
			accepted := l.submit(`{"offline":{"sleep":"5s"}}`)
			l.awaitContainers(1)
			l.executorDeps.firestore.Set(f)
			l.awaitNoContainers()
			l.executorDeps.firestore.ResetConnections()
			l.executorDeps.firestore.Clear()
			e := l.awaitExecution(accepted.ExecutionId)
			require.Equal(t, contract.StatusSucceeded, e.Status)
			require.Equal(t, 1, e.Attempt)
			l.requireHistoryHolds(x)
		})
	}
}

// Without Firestore the API returns no 202, but a 503 with Retry-After.
func TestFaultFirestoreUnreachableFromAPI(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor()
	agent := l.createEchoAgent()
	for _, f := range []faultproxy.Fault{faultproxy.Unreachable, faultproxy.BlackHole} {
		l.apiDeps.firestore.Set(f)
		got := l.do(http.MethodPost, "/agents/"+agent+"/run", "application/json", []byte(`{"input":"x"}`))
		require.Equal(t, http.StatusServiceUnavailable, got.StatusCode, "%s", got.body)
		require.NotEmpty(t, got.Header.Get("Retry-After"))
		require.Equal(t, http.StatusServiceUnavailable, l.do(http.MethodGet, "/readyz", "", nil).StatusCode)
		l.apiDeps.firestore.Clear()
	}
	l.awaitReady()
	require.Equal(t, contract.StatusSucceeded, l.awaitExecution(l.submit("one two").ExecutionId).Status)
	l.requireHistoryHolds(x)
}

// A publish that fails, or that times out although it was successful, only costs
// time. The API returns 202 for a stored execution.
func TestFaultPubSubUnreachableFromAPI(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor()
	l.apiDeps.pubsub.Set(faultproxy.NoResponses)
	published := l.submit("published without a response")
	l.apiDeps.pubsub.ResetConnections()
	l.apiDeps.pubsub.Set(faultproxy.Unreachable)
	unpublished := l.submit("not published")
	require.Equal(t, 1, l.awaitExecution(published.ExecutionId).Attempt)
	l.apiDeps.pubsub.Clear()
	l.clock.Advance(afterNotification) // a dispatcher may have published it before
	require.Equal(t, 1, l.awaitExecution(unpublished.ExecutionId).Attempt)
	l.requireHistoryHolds(x)
}

// Pub/Sub becomes unreachable while a job runs. Executions that are accepted
// meanwhile run when it is reachable again.
func TestFaultPubSubUnreachableFromExecutors(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor()
	running := l.submit(`{"offline":{"sleep":"2s"}}`)
	x.awaitLine(t, `("msg":"running")`)
	l.executorDeps.pubsub.Set(faultproxy.Unreachable)
	waiting := l.submit("one two")
	require.Equal(t, contract.StatusSucceeded, l.awaitExecution(running.ExecutionId).Status)
	require.Equal(t, contract.StatusQueued, l.getExecution(waiting.ExecutionId).Status)
	l.executorDeps.pubsub.Clear()
	require.Equal(t, 1, l.awaitExecution(waiting.ExecutionId).Attempt)

	l.executorDeps.pubsub.HalfCloseConnections()
	require.Equal(t, 1, l.awaitExecution(l.submit("three four").ExecutionId).Attempt)
	l.requireHistoryHolds(x)
}

// One notification is delivered a hundred times, to two executors.
func TestFaultHundredDeliveries(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	accepted := l.submit("one two")
	q := queue.New(l.pubsub)
	defer q.Close()
	var change execution.Change
	for range 99 {
		change.Notify = append(change.Notify, execution.Runnable{
			Ref: execution.Ref{Tenant: "local", ID: accepted.ExecutionId}, Lane: execution.LaneInteractive, Runtime: "offline",
		})
	}
	require.NoError(t, q.Publish(t.Context(), change))
	one, other := l.startExecutor(), l.startExecutor()
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 1, e.Attempt)
	l.requireHistoryHolds(one, other)
}

// Firestore's clock is ten minutes ahead of or behind the processes' clocks. The
// executions of a killed executor still get another attempt in time.
func TestFaultClockSkew(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newFaultCluster(t, ahead)
			killed := l.startExecutor()
			turn := l.submitTurn("", "hello")
			require.Equal(t, contract.StatusSucceeded, l.awaitExecution(turn.ExecutionId).Status)
			accepted := l.submit(`{"offline":{"sleep":"6s"}}`) // longer than a heartbeat
			require.Equal(t, 1, l.awaitExecution(accepted.ExecutionId).Attempt)
			accepted = l.submit(`{"offline":{"sleep":"8s"}}`)
			killed.awaitLine(t, `"msg":"running".*(`+accepted.ExecutionId+`)`)
			killed.signalAndWait(t, syscall.SIGKILL)
			another := l.startExecutor()
			// A process that compared its own clock with Firestore's would be ten minutes late or early, and so
			// beyond waitLimit. TestKilledExecutor tests the promised bound.
			l.awaitAttempt(accepted.ExecutionId, 2)
			require.Equal(t, contract.StatusSucceeded, l.awaitExecution(accepted.ExecutionId).Status)
			l.requireHistoryHolds(another)
		})
	}
}
