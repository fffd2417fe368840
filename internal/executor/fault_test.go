package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// eventRecorder records the events that are applied.
type eventRecorder struct {
	mu     sync.Mutex
	events []execution.Event
}

func (r *eventRecorder) record(_ context.Context, ev execution.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, ev)
	return nil
}

// except returns the recorded events whose type is none of these.
func (r *eventRecorder) except(types ...execution.Event) (others []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := map[string]bool{}
	for _, ev := range types {
		known[fmt.Sprintf("%T", ev)] = true
	}
	for _, ev := range r.events {
		if name := fmt.Sprintf("%T", ev); !known[name] {
			others = append(others, name)
		}
	}
	return others
}

// A result that cannot be written is written when the store is back.
func TestFinishWaitsForStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, gate := gatedSandbox("done")
	f.run(testConfig(), b)
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.firestore.Stop()
	close(gate)
	require.NoError(t, next(t, b.ended))
	f.firestore.Start()
	e := f.await(ref, execution.Succeeded)
	require.Equal(t, "done", e.Result.Text)
	require.Equal(t, 1, e.Attempt)
	require.Len(t, b.started, 0, "the job ran once")
}

// Writing the result is repeated while the store is unavailable. The job is not.
func TestFinishIsRetried(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	var faults atomic.Int32
	s := &faultyStore{f.store, func(_ context.Context, ev execution.Event) error {
		if _, ended := ev.(execution.JobEnded); ended && faults.Add(1) <= 2 {
			return fmt.Errorf("%w: on purpose", store.ErrUnavailable)
		}
		return nil
	}}
	f.start(f.newExecutor(testConfig(), s, f.queue, b))
	f.await(f.submit("offline", "x"), execution.Succeeded)
	require.EqualValues(t, 3, faults.Load())
	require.Len(t, b.started, 1)
}

// lostResponseStore is a real store. Its first answer to JobEnded is lost, after the event was applied.
type lostResponseStore struct {
	*store.Store
	lost atomic.Bool
}

func (s *lostResponseStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	change, err := s.Store.Apply(ctx, ref, ev)
	if _, ended := ev.(execution.JobEnded); ended && err == nil && !s.lost.Swap(true) {
		return execution.Change{}, fmt.Errorf("%w: the response was lost", store.ErrUnavailable)
	}
	return change, err
}

// The next call finds that the result was written.
func TestFinishWithLostResponseSucceeds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	ended := make(chan execution.Execution, 1)
	c := testConfig()
	c.OnFinished = func(e execution.Execution) { ended <- e }
	f.start(f.newExecutor(c, &lostResponseStore{Store: f.store}, f.queue, b))
	ref := f.submit("offline", "x")
	e := next(t, ended)
	require.Equal(t, ref, e.Ref(), "OnFinished is called")
	require.Equal(t, execution.Succeeded, f.stored(ref).Status)
	require.Len(t, b.started, 1, "the job ran once")
}

// When the store is unavailable for a claim, the notification comes again.
func TestNotificationRedeliveredWhenClaimFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	var claims atomic.Int32
	s := &faultyStore{f.store, func(_ context.Context, ev execution.Event) error {
		if _, claimed := ev.(execution.Claimed); claimed && claims.Add(1) == 1 {
			return store.ErrUnavailable
		}
		return nil
	}}
	f.start(f.newExecutor(testConfig(), s, f.queue, b))
	e := f.await(f.submit("offline", "x"), execution.Succeeded)
	require.Equal(t, 1, e.Attempt)
	require.Zero(t, e.FailedAttempts)
}

// From the claim on, only the lease says whose the execution is.
func TestNotificationAcknowledgedAfterClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, gate := gatedSandbox("done")
	f.run(testConfig(), b)
	ref := f.submit("offline", "x")
	next(t, b.started)
	f.awaitAcknowledged(1)
	require.Equal(t, execution.Running, f.stored(ref).Status)
	close(gate)
	f.await(ref, execution.Succeeded)
	require.EqualValues(t, 1, f.acknowledged.Load())
}

func TestNotificationDelivered100TimesRunsOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, gate := gatedSandbox("done")
	const copies = 100
	for _, name := range []string{"x1", "x2"} {
		c := testConfig()
		c.Name, c.Slots = name, 20
		f.run(c, b)
	}
	ref := f.submit("offline", "x")
	duplicates := execution.Change{Execution: f.stored(ref)}
	for range copies - 1 {
		duplicates.Notify = append(duplicates.Notify, duplicates.Execution.Runnable())
	}
	require.NoError(t, f.queue.Publish(t.Context(), duplicates))
	next(t, b.started)
	f.awaitAcknowledged(copies)
	close(gate)
	e := f.await(ref, execution.Succeeded)
	require.Empty(t, b.started, "the job ran once")
	require.Equal(t, 1, e.Attempt)
}

func TestNotificationOfMissingExecutionIsAcknowledged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("never")
	f.run(testConfig(), b)
	require.NoError(t, f.queue.Publish(t.Context(), execution.Change{
		Notify: []execution.Runnable{{Ref: execution.Ref{Tenant: tenant, ID: "exe_none"}, Lane: execution.LaneInteractive, Runtime: "offline"}},
	}))
	f.awaitAcknowledged(1)
	require.Empty(t, b.started)
}

// Without an Engine the executor stops pulling: the running job uses up an attempt, queued executions do not. All of
// them run when an Engine answers again.
func TestNothingPulledWithoutEngine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	errNoEngine := errors.New("no Engine")
	release := make(chan struct{})
	var b *fakeSandbox
	b = newFakeSandbox(func(ctx context.Context, _ sandbox.Job) (sandbox.Outcome, error) {
		<-release
		return successOutcome("done"), b.Ping(ctx)
	})
	c := testConfig()
	c.Slots = 1
	f.run(c, b)
	refs := []execution.Ref{f.submit("offline", "1")}
	next(t, b.started)
	for i := range 4 {
		refs = append(refs, f.submit("offline", fmt.Sprint(i)))
	}
	b.setPingErr(errNoEngine)
	close(release)
	require.ErrorIs(t, next(t, b.ended), errNoEngine)
	require.Equal(t, 1, f.await(refs[0], execution.Queued).FailedAttempts)
	require.Empty(t, b.started)
	for _, ref := range refs[1:] {
		e := f.stored(ref)
		require.Equal(t, execution.Queued, e.Status)
		require.Zero(t, e.Attempt)
	}

	b.setPingErr(nil)
	for _, ref := range refs[1:] {
		require.Zero(t, f.await(ref, execution.Succeeded).FailedAttempts)
	}
}
