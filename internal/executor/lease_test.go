package executor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestShutdownJobFinishesWithinGracePeriod(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, gate := gatedSandbox("just in time")
	x := f.newExecutor(testConfig(), f.store, f.queue, b)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	ref := f.submit("offline", "x")
	next(t, b.started)
	stop()
	require.Empty(t, ended, "Run waits for the job")
	close(gate)
	require.NoError(t, next(t, ended))
	require.Equal(t, "just in time", f.stored(ref).Result.Text)
}

// A job that runs longer than the grace period goes to another executor at once, and uses up no attempt.
func TestShutdownHandsBackRunningJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, _ := gatedSandbox("never")
	c := testConfig()
	c.Grace = 10 * time.Millisecond
	stop := f.run(c, b)
	ref := f.submit("offline", "x")
	next(t, b.started)
	stop()
	require.ErrorIs(t, next(t, b.ended), errShutdown)
	e := f.stored(ref)
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.FailedAttempts)

	f.run(testConfig(), answeringSandbox("done by another"))
	e = f.await(ref, execution.Succeeded)
	require.Equal(t, "done by another", e.Result.Text)
	require.Equal(t, 2, e.Attempt)
	require.Zero(t, e.FailedAttempts)
}

// A stop while the job is being prepared uses up no attempt either.
func TestShutdownHandsBackUnstartedJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	reading := make(chan struct{}, 1)
	slow := &unreadableHistoryStore{f.store, func(ctx context.Context) error {
		reading <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	c := testConfig()
	c.Grace = 10 * time.Millisecond
	stop := f.start(f.newExecutor(c, slow, f.queue, answeringSandbox("never")))
	turn := f.submitTurn("", "hello", "")
	next(t, reading)
	stop()
	e := f.stored(turn.Ref())
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.FailedAttempts)
}

// The next heartbeat is minutes away and the test does not wait that long, so only the signal can tell the executor.
func TestCancelBySignalDoesNotWaitForHeartbeat(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, _ := gatedSandbox("never")
	f.run(testConfig(), b)
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.awaitSignalSubscriptions(1)
	f.cancel(ref, true)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	e := f.await(ref, execution.Canceled)
	require.Equal(t, execution.CodeCanceled, e.Failure.Code)
	require.Nil(t, e.Result)
}

func TestCancelFoundByHeartbeatWithoutSignal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, _ := gatedSandbox("never")
	c := testConfig()
	c.Heartbeat = 20 * time.Millisecond
	f.start(f.newExecutor(c, f.store, queueWithoutSignals{f.queue}, b))
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.cancel(ref, false)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	f.await(ref, execution.Canceled)
}

// Jobs can be canceled while they use the grace period.
func TestCancelBySignalDuringGracePeriod(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, _ := gatedSandbox("never")
	x := f.newExecutor(testConfig(), f.store, f.queue, b)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.awaitSignalSubscriptions(1)
	stop()
	f.cancel(ref, true)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	require.NoError(t, next(t, ended))
	require.Equal(t, execution.Canceled, f.stored(ref).Status)
	f.awaitSignalSubscriptions(0)
}

// An executor that continues after a pause longer than its lease ends the job and writes nothing: another attempt may
// have the execution.
func TestLeaseLostEndsJobAndWritesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, _ := gatedSandbox("never")
	c := testConfig()
	c.Heartbeat = 20 * time.Millisecond
	var recorder eventRecorder
	f.start(f.newExecutor(c, &faultyStore{f.store, recorder.record}, f.queue, b))
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.clock.Advance(c.Lease + time.Second)
	require.ErrorIs(t, next(t, b.ended), execution.ErrLeaseLost)

	e := f.stored(ref)
	require.Equal(t, execution.Running, e.Status)
	require.Equal(t, 1, e.Attempt)
	require.Empty(t, recorder.except(execution.Claimed{}, execution.Renewed{}))
}

// While the store does not answer, the executor's own clock decides when the lease has expired.
func TestLeaseNotRenewableEndsJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, _ := gatedSandbox("never")
	c := testConfig()
	c.Lease, c.Heartbeat = 500*time.Millisecond, 100*time.Millisecond
	f.run(c, b)
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.firestore.Stop()
	disconnectedAt := time.Now()
	require.ErrorIs(t, next(t, b.ended), execution.ErrLeaseLost)
	require.Less(t, time.Since(disconnectedAt), callTimeout, "the job does not wait until the call of the store times out")
	f.firestore.Start()
	require.Equal(t, execution.Running, f.stored(ref).Status, "the janitor requeues it")
}
