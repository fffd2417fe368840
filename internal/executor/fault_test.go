package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/iterator"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// events notes what was asked of a store.
type eventRecorder struct {
	mu     sync.Mutex
	events []execution.Event
}

func (s *eventRecorder) record(_ context.Context, ev execution.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, ev)
	return nil
}

// except returns the events that are of other types than these.
func (s *eventRecorder) except(types ...execution.Event) (others []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[string]bool{}
	for _, ev := range types {
		known[fmt.Sprintf("%T", ev)] = true
	}
	for _, ev := range s.events {
		if name := fmt.Sprintf("%T", ev); !known[name] {
			others = append(others, name)
		}
	}
	return others
}

// awaitListening waits until so many executors are subscribed to signals.
func (w *fixture) awaitSignalSubscriptions(executors int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		all := w.pubsub.Client.SubscriptionAdminClient.ListSubscriptions(context.Background(), &pubsubpb.ListSubscriptionsRequest{Project: "projects/" + emulatortest.Project})
		for n := 0; ; {
			sub, err := all.Next()
			switch {
			case errors.Is(err, iterator.Done):
				return n == executors
			case err != nil:
				return false
			case strings.HasSuffix(sub.Topic, "-signals"):
				n++
			}
		}
	}, waitTimeout, pollInterval)
}

// A verdict that cannot be written is written once the store is back.
func TestFinishWaitsForStore(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, gate := gatedSandbox("done")
	w.run(testConfig(), b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.firestore.Stop()
	close(gate)
	require.NoError(t, next(t, b.ended))
	w.firestore.Start()
	e := w.await(ref, execution.Succeeded)
	require.Equal(t, "done", e.Result.Text)
	require.Equal(t, 1, e.Attempt)
	require.Len(t, b.started, 0, "it ran once")
}

// Each call that fails for want of the store is repeated, and the job is not.
func TestFinishIsRetried(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b := answeringSandbox("done")
	var faults atomic.Int32
	s := &faultyStore{w.store, func(_ context.Context, ev execution.Event) error {
		if _, finished := ev.(execution.Finished); finished && faults.Add(1) <= 2 {
			return fmt.Errorf("%w: on purpose", store.ErrUnavailable)
		}
		return nil
	}}
	w.start(w.newExecutor(testConfig(), s, w.queue, b))
	w.await(w.submit("offline", "x"), execution.Succeeded)
	require.EqualValues(t, 3, faults.Load())
	require.Len(t, b.started, 1)
}

// mute is a store that does what it is asked, and whose first answer to a verdict is lost.
type lostResponseStore struct {
	*store.Store
	lost atomic.Bool
}

func (s *lostResponseStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	change, err := s.Store.Apply(ctx, ref, ev)
	if _, finished := ev.(execution.Finished); finished && err == nil && !s.lost.Swap(true) {
		return execution.Change{}, fmt.Errorf("%w: the answer was lost", store.ErrUnavailable)
	}
	return change, err
}

// A verdict that was written, though nobody said so, is found written.
func TestFinishResponseLost(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b := answeringSandbox("done")
	ended := make(chan execution.Execution, 1)
	x := w.newExecutor(testConfig(), &lostResponseStore{Store: w.store}, w.queue, b)
	x.onFinished = func(e execution.Execution) { ended <- e }
	w.start(x)
	ref := w.submit("offline", "x")
	e := next(t, ended)
	require.Equal(t, ref, e.Ref(), "it is told of like any other")
	require.Equal(t, execution.Succeeded, w.stored(ref).Status)
	require.Len(t, b.started, 1, "it ran once")
}

// A verdict that cannot be written is given up with the lease: the slot is free
// for the next, and the execution is the janitor's.
func TestFinishGivesUpWhenLeaseExpires(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b := newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		return successOutcome(strings.TrimSpace(string(job.Stdin))), nil
	})
	c := testConfig()
	c.Slots, c.Lease, c.Heartbeat = 1, 3*time.Second, 500*time.Millisecond
	s := &faultyStore{w.store, func(_ context.Context, ev execution.Event) error {
		if finished, ok := ev.(execution.Finished); ok && finished.Ending.Result.Text == "first" {
			return fmt.Errorf("%w: on purpose", store.ErrUnavailable)
		}
		return nil
	}}
	w.start(w.newExecutor(c, s, w.queue, b))
	first := w.submit("offline", "first")
	next(t, b.started)
	second := w.submit("offline", "second")
	w.await(second, execution.Succeeded)
	require.Equal(t, execution.Running, w.stored(first).Status)
	w.clock.Advance(c.Lease)
	ch, err := w.store.Apply(t.Context(), first, execution.Expired{})
	require.NoError(t, err, "nobody renews its lease any more")
	require.Equal(t, []execution.Ref{first}, ch.Notify)
}

// A claim that could not be made is made when the message comes again.
func TestNotificationRedeliveredWhenClaimFails(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b := answeringSandbox("done")
	var claims atomic.Int32
	s := &faultyStore{w.store, func(_ context.Context, ev execution.Event) error {
		if _, claimed := ev.(execution.Claimed); claimed && claims.Add(1) == 1 {
			return store.ErrUnavailable
		}
		return nil
	}}
	w.start(w.newExecutor(testConfig(), s, w.queue, b))
	e := w.await(w.submit("offline", "x"), execution.Succeeded)
	require.Equal(t, 1, e.Attempt)
	require.Zero(t, e.FailedAttempts)
}

// The message of what runs is acknowledged with the claim: only the lease
// says whose it is.
func TestNotificationAcknowledgedAfterClaim(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, gate := gatedSandbox("done")
	w.run(testConfig(), b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	w.awaitAcknowledged(1)
	require.Equal(t, execution.Running, w.stored(ref).Status)
	close(gate)
	w.await(ref, execution.Succeeded)
	require.EqualValues(t, 1, w.acknowledged.Load())
}

func TestNotificationDelivered100TimesRunsOnce(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, gate := gatedSandbox("done")
	const copies = 100
	for _, name := range []string{"x1", "x2"} {
		c := testConfig()
		c.Name, c.Slots = name, 20
		w.run(c, b)
	}
	ref := w.submit("offline", "x")
	duplicates := execution.Change{Execution: w.stored(ref)}
	for range copies - 1 {
		duplicates.Notify = append(duplicates.Notify, ref)
	}
	require.NoError(t, w.queue.Publish(t.Context(), duplicates))
	next(t, b.started)
	w.awaitAcknowledged(copies)
	close(gate)
	e := w.await(ref, execution.Succeeded)
	require.Empty(t, b.started, "nobody else has run it")
	require.Equal(t, 1, e.Attempt)
}

// Announcements of what is not there, or another's, are dropped.
func TestNotificationOfMissingExecutionIsAcknowledged(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b := answeringSandbox("never")
	w.run(testConfig(), b)
	require.NoError(t, w.queue.Publish(t.Context(), execution.Change{
		Execution: execution.Execution{Tenant: tenant, ID: "exe_none", Lane: execution.LaneInteractive}, Notify: []execution.Ref{{Tenant: tenant, ID: "exe_none"}},
	}))
	w.awaitAcknowledged(1)
	require.Empty(t, b.started)
}

// When the Engine goes, pulling stops: the job that met it spends an attempt,
// what waits does not, and all of it runs once an Engine is there.
func TestNothingPulledWithoutEngine(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	errNoEngine := errors.New("no Engine")
	release := make(chan struct{})
	var b *fakeSandbox
	b = newFakeSandbox(func(ctx context.Context, _ sandbox.Job) (sandbox.Outcome, error) {
		<-release
		return successOutcome("done"), b.Ping(ctx)
	})
	c := testConfig()
	c.Slots = 1
	w.run(c, b)
	refs := []execution.Ref{w.submit("offline", "1")}
	next(t, b.started)
	for i := range 4 {
		refs = append(refs, w.submit("offline", fmt.Sprint(i)))
	}
	b.setPingErr(errNoEngine)
	close(release)
	require.ErrorIs(t, next(t, b.ended), errNoEngine)
	require.Equal(t, 1, w.await(refs[0], execution.Queued).FailedAttempts)
	require.Empty(t, b.started)
	for _, ref := range refs[1:] {
		e := w.stored(ref)
		require.Equal(t, execution.Queued, e.Status)
		require.Zero(t, e.Attempt)
	}

	b.setPingErr(nil)
	for _, ref := range refs[1:] {
		require.Zero(t, w.await(ref, execution.Succeeded).FailedAttempts)
	}
}
