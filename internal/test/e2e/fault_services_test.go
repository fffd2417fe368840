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

// Firestore is away when an executor wants to claim: nothing is spent, and it
// runs when Firestore is back.
func TestFaultFirestoreUnreachableAtClaim(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faultproxy.Fault{"away": faultproxy.Unreachable, "black hole": faultproxy.BlackHole, "deaf": faultproxy.NoResponses} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newFaultCluster(t, 0)
			x := l.startExecutor(t)
			l.executorDeps.firestore.Set(f)
			accepted := l.submit("one two")
			x.awaitLine(t, `(could not claim)`)
			l.executorDeps.firestore.Clear()
			l.clock.Advance(afterNotification) // where the claim was made and only its answer was lost
			e := l.awaitExecution(accepted.ExecutionId)
			require.Equal(t, contract.StatusSucceeded, e.Status)
			l.requireHistoryHolds(x)
		})
	}
}

// Firestore is away while a job runs, for less than the lease: nobody notices.
func TestFaultFirestoreUnreachableForOneHeartbeat(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor(t)
	accepted := l.submit(`{"offline":{"sleep":"8s"}}`)
	x.awaitLine(t, `("msg":"running")`)
	l.executorDeps.firestore.Set(faultproxy.Unreachable)
	x.awaitLine(t, `(could not renew the lease)`)
	l.executorDeps.firestore.Clear()
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 1, e.Attempt)
	l.requireHistoryHolds(x)
}

// Firestore is away for longer than the lease: the executor ends the job by
// itself, and the execution runs again.
func TestFaultFirestoreUnreachableBeyondLease(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor(t)
	accepted := l.submit(`{"offline":{"sleep":"25s"}}`)
	x.awaitLine(t, `("msg":"running")`)
	from := time.Now()
	l.executorDeps.firestore.Set(faultproxy.BlackHole)
	x.awaitLine(t, `(lease expired before it was renewed)`)
	l.executorDeps.firestore.ResetConnections()
	l.executorDeps.firestore.Clear()
	l.recorder.RecordOutage(history.TimeRange{From: from, To: time.Now()})
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 2, e.Attempt)
	l.requireHistoryHolds(x)
}

// Firestore is away when a job has ended: its end is written when it is back.
func TestFaultFirestoreUnreachableAtFinish(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faultproxy.Fault{"away": faultproxy.Unreachable, "deaf": faultproxy.NoResponses} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newFaultCluster(t, 0)
			x := l.startExecutor(t)
			l.executorName = l.executorNames[0]
			accepted := l.submit(`{"offline":{"sleep":"2s"}}`)
			l.eventually("runs in a container", func() bool { return len(l.containers()) == 1 })
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

// Without Firestore there is no 202, and a caller is told to come again.
func TestFaultFirestoreUnreachableFromAPI(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor(t)
	agent := l.createEchoAgent()
	for _, f := range []faultproxy.Fault{faultproxy.Unreachable, faultproxy.BlackHole} {
		l.apiDeps.firestore.Set(f)
		got := l.do(http.MethodPost, "/agents/"+agent+"/run", "application/json", []byte(`{"input":"x"}`))
		require.Equal(t, http.StatusServiceUnavailable, got.StatusCode, "%s", got.body)
		require.NotEmpty(t, got.Header.Get("Retry-After"))
		require.Equal(t, http.StatusServiceUnavailable, l.do(http.MethodGet, "/readyz", "", nil).StatusCode)
		l.apiDeps.firestore.Clear()
	}
	l.eventually("ready", func() bool { return l.do(http.MethodGet, "/readyz", "", nil).StatusCode == http.StatusOK })
	require.Equal(t, contract.StatusSucceeded, l.awaitExecution(l.submit("one two").ExecutionId).Status)
	l.requireHistoryHolds(x)
}

// A publish that fails, or times out though it happened, costs time at most: a
// durable execution is a 202.
func TestFaultPubSubUnreachableFromAPI(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor(t)
	l.apiDeps.pubsub.Set(faultproxy.NoResponses)
	acknowledged := l.submit("times out but happened")
	l.apiDeps.pubsub.ResetConnections()
	l.apiDeps.pubsub.Set(faultproxy.Unreachable)
	unacknowledged := l.submit("never published")
	require.Equal(t, 1, l.awaitExecution(acknowledged.ExecutionId).Attempt)
	require.Equal(t, contract.StatusQueued, l.getExecution(unacknowledged.ExecutionId).Status)
	l.apiDeps.pubsub.Clear()
	l.clock.Advance(afterNotification)
	require.Equal(t, 1, l.awaitExecution(unacknowledged.ExecutionId).Attempt)
	l.requireHistoryHolds(x)
}

// Pub/Sub goes while a job runs, and what came meanwhile runs when it is back.
func TestFaultPubSubUnreachableFromExecutors(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor(t)
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

// One message comes a hundred times, to two executors.
func TestFaultHundredDeliveries(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	accepted := l.submit("one two")
	q := queue.New(l.pubsub)
	defer q.Close()
	change := execution.Change{Execution: execution.Execution{Tenant: "local", ID: accepted.ExecutionId, Lane: execution.LaneInteractive}}
	for range 99 {
		change.Notify = append(change.Notify, change.Execution.Ref())
	}
	require.NoError(t, q.Publish(t.Context(), change))
	one, other := l.startExecutor(t), l.startExecutor(t)
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 1, e.Attempt)
	l.requireHistoryHolds(one, other)
}

// Ten minutes between the clocks of Firestore and of the processes, either
// way, change nothing: an executor that is killed is found out in time.
func TestFaultClockSkew(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newFaultCluster(t, ahead)
			killed := l.startExecutor(t)
			turn := l.submitTurn("", "hello")
			require.Equal(t, contract.StatusSucceeded, l.awaitExecution(turn.ExecutionId).Status)
			accepted := l.submit(`{"offline":{"sleep":"6s"}}`) // longer than a heartbeat
			require.Equal(t, 1, l.awaitExecution(accepted.ExecutionId).Attempt)
			accepted = l.submit(`{"offline":{"sleep":"8s"}}`)
			killed.awaitLine(t, `"msg":"running".*(`+accepted.ExecutionId+`)`)
			killed.signalAndWait(t, syscall.SIGKILL)
			another := l.startExecutor(t)
			// How soon is TestKilledExecutor's; who believed a clock would be ten minutes late, or too early.
			require.Eventually(t, func() bool { return l.getExecution(accepted.ExecutionId).Attempt == 2 }, 90*time.Second, 100*time.Millisecond, "runs again")
			require.Equal(t, contract.StatusSucceeded, l.awaitExecution(accepted.ExecutionId).Status)
			l.requireHistoryHolds(another)
		})
	}
}
