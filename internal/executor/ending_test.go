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

func TestShutdownLetsAJobFinishWithinTheGrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, gate := gated("just in time")
	x := w.with(unhurried(), w.store, w.queue, b)
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
func TestShutdownHandsBackWhatIsNotDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, _ := gated("never")
	c := unhurried()
	c.Grace = 10 * time.Millisecond
	stop := w.run(c, b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	stop()
	require.ErrorIs(t, next(t, b.ended), errShutdown)
	e := w.stored(ref)
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.Spent)

	w.run(unhurried(), answering("done by another"))
	e = w.await(ref, execution.Succeeded)
	require.Equal(t, "done by another", e.Result.Text)
	require.Equal(t, 2, e.Attempt)
	require.Zero(t, e.Spent)
}

// A stop that comes while the job is still being prepared spends nothing either.
func TestShutdownHandsBackWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reading := make(chan struct{}, 1)
	slow := &illiterate{w.store, func(ctx context.Context) error {
		reading <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	c := unhurried()
	c.Grace = 10 * time.Millisecond
	stop := w.start(w.with(c, slow, w.queue, answering("never")))
	turn := w.say("", "hello", "")
	next(t, reading)
	stop()
	e := w.stored(turn.Ref())
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.Spent)
}

// Nothing but the signal can bring the news here: the next heartbeat is far away.
func TestCancelBySignalWithinASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, _ := gated("never")
	w.run(unhurried(), b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.awaitListening(1)
	asked := time.Now()
	w.cancel(ref, true)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	require.Less(t, time.Since(asked), time.Second)
	e := w.await(ref, execution.Canceled)
	require.Equal(t, execution.CodeCanceled, e.Failure.Code)
	require.Nil(t, e.Result)
}

func TestCancelWithoutASignalIsFoundByTheHeartbeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, _ := gated("never")
	c := unhurried()
	c.Heartbeat = 20 * time.Millisecond
	w.start(w.with(c, w.store, deaf{w.queue}, b))
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.cancel(ref, false)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	w.await(ref, execution.Canceled)
}

// While the last jobs use their grace, they can still be cancelled.
func TestCancelBySignalDuringTheGrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, _ := gated("never")
	x := w.with(unhurried(), w.store, w.queue, b)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.awaitListening(1)
	stop()
	w.cancel(ref, true)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	require.NoError(t, next(t, ended))
	require.Equal(t, execution.Canceled, w.stored(ref).Status)
	w.awaitListening(0)
}

// An executor that comes back from a pause longer than its lease ends the job
// and writes nothing: another attempt has the execution.
func TestALostLeaseEndsTheJobAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, _ := gated("never")
	c := unhurried()
	c.Heartbeat = 20 * time.Millisecond
	var verdicts events
	w.start(w.with(c, &spoilt{w.store, verdicts.note}, w.queue, b))
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.clock.Advance(c.Lease + time.Second)
	require.ErrorIs(t, next(t, b.ended), execution.ErrLeaseLost)

	e := w.stored(ref)
	require.Equal(t, execution.Running, e.Status)
	require.Equal(t, 1, e.Attempt)
	require.Empty(t, verdicts.except(execution.Claimed{}, execution.Renewed{}))
}

// A lease that cannot be renewed is over when this machine's own clock says so,
// although the store cannot be asked.
func TestALeaseThatCannotBeRenewedEndsTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, _ := gated("never")
	c := unhurried()
	c.Lease, c.Heartbeat = 500*time.Millisecond, 100*time.Millisecond
	w.run(c, b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.firestore.Away()
	away := time.Now()
	require.ErrorIs(t, next(t, b.ended), execution.ErrLeaseLost)
	require.Less(t, time.Since(away), c.Lease+2*time.Second, "before the call that cannot be answered gives up")
	w.firestore.Back()
	require.Equal(t, execution.Running, w.stored(ref).Status, "the janitor puts it right")
}

// Renewals that hang do not use up the lease: they are given up and repeated
// while there is time.
func TestARenewalThatHangsIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, gate := gated("done")
	c := unhurried()
	c.Lease, c.Heartbeat = 9*time.Second, 3*time.Second
	var renewals atomic.Int32
	s := &spoilt{w.store, func(ctx context.Context, ev execution.Event) error {
		if _, renewed := ev.(execution.Renewed); !renewed || renewals.Add(1) > 2 {
			return nil
		}
		<-ctx.Done()
		return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}}
	w.start(w.with(c, s, w.queue, b))
	ref := w.submit("offline", "x")
	next(t, b.started)
	begun := w.stored(ref).Lease.Expires
	require.Eventually(t, func() bool { return w.stored(ref).Lease.Expires.After(begun) }, patience, reread)
	close(gate)
	require.NoError(t, next(t, b.ended))
	require.Equal(t, 1, w.await(ref, execution.Succeeded).Attempt)
}

// A renewed lease holds for as long as the job runs.
func TestAJobLongerThanItsLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, gate := gated("done")
	c := unhurried()
	c.Lease, c.Heartbeat = 2*time.Second, 50*time.Millisecond
	w.run(c, b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	begun := w.stored(ref).Lease.Expires
	require.Eventually(t, func() bool { return w.stored(ref).Lease.Expires.After(begun.Add(c.Lease)) }, patience, reread)
	close(gate)
	require.Equal(t, 1, w.await(ref, execution.Succeeded).Attempt)
}
