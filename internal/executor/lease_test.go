package executor

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

func TestShutdownJobFinishesWithinGracePeriod(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, gate := gatedSandbox("just in time")
	x := w.newExecutor(testConfig(), w.store, w.queue, b)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	ref := w.submit("offline", "x")
	next(t, b.started)
	stop()
	require.Empty(t, ended, "it waits for the job")
	close(gate)
	require.NoError(t, next(t, ended))
	require.Equal(t, "just in time", w.stored(ref).Result.Text)
}

// What is not done after the grace is another executor's, at once and without
// an attempt spent.
func TestShutdownHandsBackRunningJob(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, _ := gatedSandbox("never")
	c := testConfig()
	c.Grace = 10 * time.Millisecond
	stop := w.run(c, b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	stop()
	require.ErrorIs(t, next(t, b.ended), errShutdown)
	e := w.stored(ref)
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.FailedAttempts)

	w.run(testConfig(), answeringSandbox("done by another"))
	e = w.await(ref, execution.Succeeded)
	require.Equal(t, "done by another", e.Result.Text)
	require.Equal(t, 2, e.Attempt)
	require.Zero(t, e.FailedAttempts)
}

// A stop that comes while the job is still being prepared spends nothing either.
func TestShutdownHandsBackUnstartedJob(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	reading := make(chan struct{}, 1)
	slow := &unreadableHistoryStore{w.store, func(ctx context.Context) error {
		reading <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	c := testConfig()
	c.Grace = 10 * time.Millisecond
	stop := w.start(w.newExecutor(c, slow, w.queue, answeringSandbox("never")))
	turn := w.submitTurn("", "hello", "")
	next(t, reading)
	stop()
	e := w.stored(turn.Ref())
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.FailedAttempts)
}

// Nothing but the signal can bring the news here: the next heartbeat is far away.
func TestCancelBySignalWithinASecond(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, _ := gatedSandbox("never")
	w.run(testConfig(), b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.awaitSignalSubscriptions(1)
	canceledAt := time.Now()
	w.cancel(ref, true)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	require.Less(t, time.Since(canceledAt), time.Second)
	e := w.await(ref, execution.Canceled)
	require.Equal(t, execution.CodeCanceled, e.Failure.Code)
	require.Nil(t, e.Result)
}

func TestCancelFoundByHeartbeatWithoutSignal(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, _ := gatedSandbox("never")
	c := testConfig()
	c.Heartbeat = 20 * time.Millisecond
	w.start(w.newExecutor(c, w.store, queueWithoutSignals{w.queue}, b))
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.cancel(ref, false)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	w.await(ref, execution.Canceled)
}

// While the last jobs use their grace, they can still be cancelled.
func TestCancelBySignalDuringGracePeriod(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, _ := gatedSandbox("never")
	x := w.newExecutor(testConfig(), w.store, w.queue, b)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.awaitSignalSubscriptions(1)
	stop()
	w.cancel(ref, true)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	require.NoError(t, next(t, ended))
	require.Equal(t, execution.Canceled, w.stored(ref).Status)
	w.awaitSignalSubscriptions(0)
}

// An executor that comes back from a pause longer than its lease ends the job
// and writes nothing: another attempt has the execution.
func TestLeaseLostEndsJobAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, _ := gatedSandbox("never")
	c := testConfig()
	c.Heartbeat = 20 * time.Millisecond
	var recorder eventRecorder
	w.start(w.newExecutor(c, &faultyStore{w.store, recorder.record}, w.queue, b))
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.clock.Advance(c.Lease + time.Second)
	require.ErrorIs(t, next(t, b.ended), execution.ErrLeaseLost)

	e := w.stored(ref)
	require.Equal(t, execution.Running, e.Status)
	require.Equal(t, 1, e.Attempt)
	require.Empty(t, recorder.except(execution.Claimed{}, execution.Renewed{}))
}

// A lease that cannot be renewed is over when this machine's own clock says so,
// although the store cannot be asked.
func TestLeaseNotRenewableEndsJob(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, _ := gatedSandbox("never")
	c := testConfig()
	c.Lease, c.Heartbeat = 500*time.Millisecond, 100*time.Millisecond
	w.run(c, b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.firestore.Stop()
	disconnectedAt := time.Now()
	require.ErrorIs(t, next(t, b.ended), execution.ErrLeaseLost)
	require.Less(t, time.Since(disconnectedAt), c.Lease+2*time.Second, "before the call that cannot be answered gives up")
	w.firestore.Start()
	require.Equal(t, execution.Running, w.stored(ref).Status, "the janitor puts it right")
}

// Renewals that hang do not use up the lease: they are given up and repeated
// while there is time.
func TestRenewalTimeoutIsRetried(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, gate := gatedSandbox("done")
	c := testConfig()
	c.Lease, c.Heartbeat = 9*time.Second, 3*time.Second
	var renewals atomic.Int32
	s := &faultyStore{w.store, func(ctx context.Context, ev execution.Event) error {
		if _, renewed := ev.(execution.Renewed); !renewed || renewals.Add(1) > 2 {
			return nil
		}
		<-ctx.Done()
		return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}}
	w.start(w.newExecutor(c, s, w.queue, b))
	ref := w.submit("offline", "x")
	next(t, b.started)
	begun := w.stored(ref).Lease.Expires
	require.Eventually(t, func() bool { return w.stored(ref).Lease.Expires.After(begun) }, waitTimeout, pollInterval)
	close(gate)
	require.NoError(t, next(t, b.ended))
	require.Equal(t, 1, w.await(ref, execution.Succeeded).Attempt)
}

// A renewed lease holds for as long as the job runs.
func TestJobLongerThanLease(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, gate := gatedSandbox("done")
	c := testConfig()
	c.Lease, c.Heartbeat = 2*time.Second, 50*time.Millisecond
	w.run(c, b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	begun := w.stored(ref).Lease.Expires
	require.Eventually(t, func() bool { return w.stored(ref).Lease.Expires.After(begun.Add(c.Lease)) }, waitTimeout, pollInterval)
	close(gate)
	require.Equal(t, 1, w.await(ref, execution.Succeeded).Attempt)
}
