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
func TestFaultFirestoreAwayAtTheClaim(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faultproxy.Fault{"away": faultproxy.Away, "black hole": faultproxy.BlackHole, "deaf": faultproxy.Deaf} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 0)
			x := l.executor(t)
			l.executors.firestore.Set(f)
			accepted := l.submit("one two")
			x.await(t, `(could not claim)`)
			l.executors.firestore.Heal()
			l.clock.Advance(pastAnnouncement) // where the claim was made and only its answer was lost
			e := l.await(accepted.ExecutionId)
			require.Equal(t, contract.StatusSucceeded, e.Status)
			l.kept(x)
		})
	}
}

// Firestore is away while a job runs, for less than the lease: nobody notices.
func TestFaultFirestoreAwayForAHeartbeat(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	x := l.executor(t)
	accepted := l.submit(`{"offline":{"sleep":"8s"}}`)
	x.await(t, `("msg":"running")`)
	l.executors.firestore.Set(faultproxy.Away)
	x.await(t, `(could not renew the lease)`)
	l.executors.firestore.Heal()
	e := l.await(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 1, e.Attempt)
	l.kept(x)
}

// Firestore is away for longer than the lease: the executor ends the job by
// itself, and the execution runs again.
func TestFaultFirestoreAwayForLongerThanTheLease(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	x := l.executor(t)
	accepted := l.submit(`{"offline":{"sleep":"25s"}}`)
	x.await(t, `("msg":"running")`)
	from := time.Now()
	l.executors.firestore.Set(faultproxy.BlackHole)
	x.await(t, `(lease ran out unrenewed)`)
	l.executors.firestore.Cut()
	l.executors.firestore.Heal()
	l.recorder.Away(history.Span{From: from, To: time.Now()})
	e := l.await(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 2, e.Attempt)
	l.kept(x)
}

// Firestore is away when a job has ended: its end is written when it is back.
func TestFaultFirestoreAwayAtTheFinish(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faultproxy.Fault{"away": faultproxy.Away, "deaf": faultproxy.Deaf} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 0)
			x := l.executor(t)
			l.name = l.names[0]
			accepted := l.submit(`{"offline":{"sleep":"2s"}}`)
			l.eventually("runs in a container", func() bool { return len(l.containers()) == 1 })
			l.executors.firestore.Set(f)
			l.awaitNoContainers()
			l.executors.firestore.Cut()
			l.executors.firestore.Heal()
			e := l.await(accepted.ExecutionId)
			require.Equal(t, contract.StatusSucceeded, e.Status)
			require.Equal(t, 1, e.Attempt)
			l.kept(x)
		})
	}
}

// Without Firestore there is no 202, and a caller is told to come again.
func TestFaultFirestoreAwayFromTheAPI(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	x := l.executor(t)
	agent := l.echo()
	for _, f := range []faultproxy.Fault{faultproxy.Away, faultproxy.BlackHole} {
		l.api.firestore.Set(f)
		got := l.do(http.MethodPost, "/agents/"+agent+"/run", "application/json", []byte(`{"input":"x"}`))
		require.Equal(t, http.StatusServiceUnavailable, got.StatusCode, "%s", got.body)
		require.NotEmpty(t, got.Header.Get("Retry-After"))
		require.Equal(t, http.StatusServiceUnavailable, l.do(http.MethodGet, "/readyz", "", nil).StatusCode)
		l.api.firestore.Heal()
	}
	l.eventually("ready", func() bool { return l.do(http.MethodGet, "/readyz", "", nil).StatusCode == http.StatusOK })
	require.Equal(t, contract.StatusSucceeded, l.await(l.submit("one two").ExecutionId).Status)
	l.kept(x)
}

// A publish that fails, or times out though it happened, costs time at most: a
// durable execution is a 202.
func TestFaultPubSubAwayFromTheAPI(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	x := l.executor(t)
	l.api.pubsub.Set(faultproxy.Deaf)
	heard := l.submit("times out but happened")
	l.api.pubsub.Cut()
	l.api.pubsub.Set(faultproxy.Away)
	unheard := l.submit("never published")
	require.Equal(t, 1, l.await(heard.ExecutionId).Attempt)
	require.Equal(t, contract.StatusQueued, l.get(unheard.ExecutionId).Status)
	l.api.pubsub.Heal()
	l.clock.Advance(pastAnnouncement)
	require.Equal(t, 1, l.await(unheard.ExecutionId).Attempt)
	l.kept(x)
}

// Pub/Sub goes while a job runs, and what came meanwhile runs when it is back.
func TestFaultPubSubAwayFromTheExecutors(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	x := l.executor(t)
	running := l.submit(`{"offline":{"sleep":"2s"}}`)
	x.await(t, `("msg":"running")`)
	l.executors.pubsub.Set(faultproxy.Away)
	waiting := l.submit("one two")
	require.Equal(t, contract.StatusSucceeded, l.await(running.ExecutionId).Status)
	require.Equal(t, contract.StatusQueued, l.get(waiting.ExecutionId).Status)
	l.executors.pubsub.Heal()
	require.Equal(t, 1, l.await(waiting.ExecutionId).Attempt)

	l.executors.pubsub.HalfClose()
	require.Equal(t, 1, l.await(l.submit("three four").ExecutionId).Attempt)
	l.kept(x)
}

// One message comes a hundred times, to two executors.
func TestFaultAHundredDeliveries(t *testing.T) {
	t.Parallel()
	l := newLab(t, 0)
	accepted := l.submit("one two")
	q := queue.New(l.pubsub)
	defer q.Close()
	change := execution.Change{Execution: execution.Execution{Owner: "local", ID: accepted.ExecutionId, Lane: execution.Interactive}}
	for range 99 {
		change.Announce = append(change.Announce, change.Execution.Ref())
	}
	require.NoError(t, q.Tell(t.Context(), change))
	one, other := l.executor(t), l.executor(t)
	e := l.await(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Equal(t, 1, e.Attempt)
	l.kept(one, other)
}

// Ten minutes between the clocks of Firestore and of the processes, either
// way, change nothing: an executor that is killed is found out in time.
func TestFaultClocksApart(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, ahead)
			doomed := l.executor(t)
			turn := l.say("", "hello")
			require.Equal(t, contract.StatusSucceeded, l.await(turn.ExecutionId).Status)
			accepted := l.submit(`{"offline":{"sleep":"6s"}}`) // longer than a heartbeat
			require.Equal(t, 1, l.await(accepted.ExecutionId).Attempt)
			accepted = l.submit(`{"offline":{"sleep":"8s"}}`)
			doomed.await(t, `"msg":"running".*(`+accepted.ExecutionId+`)`)
			doomed.end(t, syscall.SIGKILL)
			another := l.executor(t)
			// How soon is TestKilledExecutor's; who believed a clock would be ten minutes late, or too early.
			require.Eventually(t, func() bool { return l.get(accepted.ExecutionId).Attempt == 2 }, 90*time.Second, 100*time.Millisecond, "runs again")
			require.Equal(t, contract.StatusSucceeded, l.await(accepted.ExecutionId).Status)
			l.kept(another)
		})
	}
}
