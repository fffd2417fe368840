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
	f.runMember(x)
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

func TestCancelBySignal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, _ := gatedSandbox("never")
	f.run(testConfig(), b)
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.cancel(ref, true)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	e := f.await(ref, execution.Canceled)
	require.Equal(t, execution.CodeCanceled, e.Failure.Code)
	require.Nil(t, e.Result)
}

// The signal of a cancellation is lost. The janitor sends it again.
func TestLostCancelSignalIsRepeated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, _ := gatedSandbox("never")
	f.run(testConfig(), b)
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.cancel(ref, false)
	f.clock.Advance(10 * time.Second)
	ch, err := f.store.Apply(t.Context(), ref, execution.Overdue{})
	require.NoError(t, err)
	require.Equal(t, execution.Running, ch.Execution.Status)
	require.Zero(t, ch.Execution.FailedAttempts)
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
	f.runMember(x)
	go func() { ended <- x.Run(ctx) }()
	ref := f.submit("offline", "x")
	next(t, b.started)
	stop()
	f.cancel(ref, true)
	require.ErrorIs(t, next(t, b.ended), errCanceled)
	require.NoError(t, next(t, ended))
	require.Equal(t, execution.Canceled, f.stored(ref).Status)
}
