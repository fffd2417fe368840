package executor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/membership"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// runMember runs the sessions of an executor until the test ends.
func (f *fixture) runMember(x *Executor) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.member(x).Run(ctx) // always nil
	}()
	f.t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// The document of a session is deleted by hand while the session has a job. The executor ends the job. Nobody else
// knows of the execution, so the executor queues it again, and goes on with the next session.
func TestDeletedSessionEndsJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var jobs atomic.Int32
	b := newFakeSandbox(func(ctx context.Context, _ sandbox.Job) (sandbox.Outcome, error) {
		if jobs.Add(1) == 1 {
			<-ctx.Done()
			return sandbox.Outcome{}, context.Cause(ctx)
		}
		return successOutcome("done"), nil
	})
	var recorder eventRecorder
	x := f.newExecutor(testConfig(), &faultyStore{f.store, recorder.record}, f.queue, b)
	f.start(x)
	ref := f.submit("offline", "x")
	next(t, b.started)
	lost := f.loseSession(x)
	require.ErrorIs(t, next(t, b.ended), execution.ErrLeaseLost)

	e := f.await(ref, execution.Succeeded)
	require.Equal(t, 2, e.Attempt)
	require.Equal(t, 1, e.FailedAttempts)
	session, ok := f.member(x).Current()
	require.True(t, ok)
	require.NotEqual(t, lost.ID, session.ID)
	require.Equal(t, []string{"execution.LeaseExpired", "execution.JobEnded"}, recorder.except(execution.Claimed{}))
}

// The leader has queued the execution of a lost session again, and another executor runs it. The attempt that lost it
// changes nothing any more.
func TestLostSessionChangesNothingAfterReap(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, gate := gatedSandbox("from the lost attempt")
	var recorder eventRecorder
	x := f.newExecutor(testConfig(), &faultyStore{f.store, recorder.record}, f.queue, b)
	stop := f.start(x)
	ref := f.submit("offline", "x")
	next(t, b.started)
	session, _ := f.member(x).Current()
	_, err := f.store.Apply(t.Context(), ref, execution.LeaseExpired{Session: session.ID})
	require.NoError(t, err)
	_, err = f.store.Apply(t.Context(), ref, execution.Claimed{Executor: "x2", Session: "prc_2.1"})
	require.NoError(t, err)
	before := f.stored(ref)
	close(gate)
	require.NoError(t, next(t, b.ended))
	stop()
	require.Equal(t, before, f.stored(ref))
	require.Equal(t, []string{"execution.JobEnded"}, recorder.except(execution.Claimed{}), "it was refused")
}

// The next session does not begin before the last container of the lost one is gone.
func TestNextSessionWaitsForJobsOfLostOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	killed, gone := make(chan struct{}), make(chan struct{})
	b := newFakeSandbox(func(ctx context.Context, _ sandbox.Job) (sandbox.Outcome, error) {
		<-ctx.Done()
		close(killed)
		<-gone
		return sandbox.Outcome{}, context.Cause(ctx)
	})
	x := f.newExecutor(testConfig(), f.store, f.queue, b)
	f.start(x)
	f.submit("offline", "x")
	next(t, b.started)
	f.loseSession(x)
	next(t, killed)
	_, ok := f.member(x).Current()
	require.False(t, ok)
	sessions, _, err := f.store.Sessions(t.Context())
	require.NoError(t, err)
	require.Empty(t, sessions)
	close(gone)
	_, err = f.member(x).Await(t.Context())
	require.NoError(t, err)
}

// While the store does not answer, the executor's own clock decides when the session is lost.
func TestSessionThatCannotBeRenewedEndsJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, _ := gatedSandbox("never")
	x := f.newExecutorWithSessions(testConfig(), f.store, f.queue, b,
		membership.MemberConfig{Store: f.store, Lease: 900 * time.Millisecond, Interval: 200 * time.Millisecond})
	f.start(x)
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.firestore.Stop()
	disconnectedAt := time.Now()
	require.ErrorIs(t, next(t, b.ended), execution.ErrLeaseLost)
	require.Less(t, time.Since(disconnectedAt), callTimeout, "the job does not wait until the call of the store times out")
	f.firestore.Start()
	require.Equal(t, 1, f.stored(ref).Attempt, "the leader queues it again")
}

// lateClaimStore is a real store. Before its first claim is answered, something happens.
type lateClaimStore struct {
	*store.Store
	calls atomic.Int32
	first func(ch execution.Change, err error) error
}

func (s *lateClaimStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	ch, err := s.Store.Apply(ctx, ref, ev)
	if _, claimed := ev.(execution.Claimed); claimed && s.calls.Add(1) == 1 {
		return ch, s.first(ch, err)
	}
	return ch, err
}

// A claim takes effect, but the session was lost before the executor learned of it. The leader may have looked for its
// executions before. So the executor hands it back.
func TestClaimConfirmedAfterSessionWasLostIsHandedBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	var x *Executor
	s := &lateClaimStore{Store: f.store, first: func(ch execution.Change, err error) error {
		require.Equal(t, execution.Running, ch.Execution.Status)
		f.loseSession(x)
		return err
	}}
	x = f.newExecutor(testConfig(), s, f.queue, b)
	f.start(x)
	e := f.await(f.submit("offline", "x"), execution.Succeeded)
	require.Equal(t, 2, e.Attempt)
	require.Zero(t, e.FailedAttempts)
	require.Len(t, b.started, 1, "the first attempt started no job")
}

// A claim took effect, and its answer was lost. The executor repeats it, recognizes it and runs the job.
func TestClaimWithLostAnswerRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	s := &lateClaimStore{Store: f.store, first: func(execution.Change, error) error {
		return fmt.Errorf("%w: %w: on purpose", store.ErrOutcomeUnknown, store.ErrUnavailable)
	}}
	f.start(f.newExecutor(testConfig(), s, f.queue, b))
	e := f.await(f.submit("offline", "x"), execution.Succeeded)
	require.Equal(t, 1, e.Attempt)
	require.EqualValues(t, 2, s.calls.Load())
}

// A result that the store refuses fails the attempt. The execution does not stay running until its session is lost.
func TestResultThatCannotBeWrittenFailsAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	s := &faultyStore{f.store, func(_ context.Context, ev execution.Event) error {
		if _, ended := ev.(execution.JobEnded); ended {
			return errors.New("on purpose")
		}
		return nil
	}}
	f.start(f.newExecutor(testConfig(), s, f.queue, b))
	ref := f.submit("offline", "x")
	next(t, b.started)
	require.Eventually(t, func() bool { return f.stored(ref).FailedAttempts == 1 }, waitTimeout, pollInterval)
}

// The executor publishes again what waits for a back-off: this test has no janitor.
func TestBackoffEndsWithoutJanitor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var jobs atomic.Int32
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		if jobs.Add(1) == 1 {
			return sandbox.Outcome{Record: begunRecord()}, errors.New("on purpose")
		}
		return successOutcome("done"), nil
	})
	f.start(f.newExecutor(testConfig(), f.store, f.queue, b))
	e := f.await(f.submit("offline", "x"), execution.Succeeded)
	require.Equal(t, 2, e.Attempt)
	require.Equal(t, 1, e.FailedAttempts)
	require.False(t, e.StartedAt.Before(e.QueuedAt), "the back-off was over")
}

// memorySessions stores sessions without network calls, so that synctest can be used.
type memorySessions struct{ renew func() error }

func (memorySessions) BeginSession(context.Context, fleet.Session) error { return nil }
func (memorySessions) EndSession(context.Context, string) error          { return nil }
func (memorySessions) Session(context.Context, string) (fleet.Session, error) {
	return fleet.Session{}, nil
}
func (s memorySessions) RenewSession(context.Context, string, *fleet.Executor) error {
	return s.renew()
}

// startAttempt returns an attempt under a session that is renewed by the given function, and a store that counts the
// events and answers none.
func startAttempt(t *testing.T, renew func() error) (a *attempt, calls *atomic.Int32) {
	t.Helper()
	member := membership.NewMember(membership.MemberConfig{Store: memorySessions{renew}, Process: "prc_1", Kind: fleet.KindExecutor, Log: zap.NewNop()})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- member.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	session, err := member.Await(t.Context())
	require.NoError(t, err)
	calls = new(atomic.Int32)
	x := New(Config{Executions: unavailableStore{calls}, Log: zap.NewNop()})
	return &attempt{executor: x, session: session, execution: &execution.Execution{ID: "exe_1", Attempt: 1}, log: zap.NewNop(), steps: &stepBuffer{}}, calls
}

type unavailableStore struct{ calls *atomic.Int32 }

func (s unavailableStore) Apply(context.Context, execution.Ref, execution.Event) (execution.Change, error) {
	s.calls.Add(1)
	return execution.Change{}, store.ErrUnavailable
}

// The end of an attempt is tried for writeTimeout, and no longer.
func TestEndIsTriedForWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, calls := startAttempt(t, func() error { return nil })
		startedAt := time.Now()
		_, written := a.finish(t.Context(), execution.JobEnded{})
		require.False(t, written)
		require.Greater(t, calls.Load(), int32(3))
		require.LessOrEqual(t, time.Since(startedAt), writeTimeout)
		require.Greater(t, time.Since(startedAt), writeTimeout/3)
	})
}

// It is not tried any more when the session is lost, which is exactly when its lease ends.
func TestEndIsNotTriedAfterSessionWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := startAttempt(t, func() error { return store.ErrUnavailable })
		startedAt := time.Now()
		jobCtx, cancelJob := context.WithCancelCause(t.Context())
		go a.watch(jobCtx, nil, cancelJob)
		_, written := a.finish(t.Context(), execution.JobEnded{})
		require.False(t, written)
		<-jobCtx.Done()
		require.ErrorIs(t, context.Cause(jobCtx), execution.ErrLeaseLost)
		require.LessOrEqual(t, time.Since(startedAt), fleet.SessionLease)
	})
}
