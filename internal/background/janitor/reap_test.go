package janitor

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
)

func (f *fixture) eventually(holds func() bool) {
	f.t.Helper()
	require.Eventually(f.t, holds, waitTimeout, interval)
}

func TestReapRequeuesOnlyItsSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref, other, queued := f.submit(), f.submit(), f.submit()
	f.apply(ref, claim)
	f.apply(other, execution.Claimed{Executor: "x1", Session: "prc_x.2"})
	f.reap()
	require.Equal(t, []execution.Ref{ref}, refsOf(f.next()))
	e := f.stored(ref)
	require.Equal(t, execution.Queued, e.Status)
	require.Equal(t, 1, e.FailedAttempts)
	require.Nil(t, e.Lease)
	require.Equal(t, execution.Running, f.stored(other).Status)
	require.Zero(t, f.stored(queued).FailedAttempts)
	require.Empty(t, f.published)
}

// The attempt of the lost session may not write any more, and the next one may.
func TestReapFencesOffTheLostAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit()
	f.apply(ref, claim)
	f.reap()
	ended := execution.JobEnded{Session: session, Attempt: 1, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "late"}}}
	_, err := f.store.Apply(t.Context(), ref, ended)
	require.ErrorIs(t, err, execution.ErrLeaseLost)
	f.apply(ref, execution.Claimed{Executor: "x1", Session: "prc_x.2"})
	_, err = f.store.Apply(t.Context(), ref, ended)
	require.ErrorIs(t, err, execution.ErrLeaseLost)
	f.apply(ref, execution.JobEnded{Session: "prc_x.2", Attempt: 2, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "in time"}}})
	require.Equal(t, "in time", f.stored(ref).Result.Text)
}

// An execution that cannot be decoded keeps neither the others nor the session.
func TestReapSkipsWhatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad, good := f.submit(), f.submit()
	f.apply(bad, claim)
	f.apply(good, claim)
	f.spoil(bad)
	j := f.newJanitor(f.store, Retention{})
	f.eventually(func() bool { return j.Reap(t.Context(), fleet.Session{ID: session}) == nil }) // after the back-off
	require.Equal(t, []execution.Ref{good}, refsOf(f.next()))
}

// Without an answer of the store the session stays, so that the next call finds the rest.
func TestReapFailsWhileStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submit()
	f.apply(ref, claim)
	s := &failingOnceStore{Store: f.store}
	j := f.newJanitor(s, Retention{})
	require.ErrorIs(t, j.Reap(t.Context(), fleet.Session{ID: session}), errNotReaped)
	f.eventually(func() bool { return j.Reap(t.Context(), fleet.Session{ID: session}) == nil })
	require.Equal(t, []execution.Ref{ref}, refsOf(f.next()))
}

// failingOnceStore is a real store whose first Apply finds no Firestore.
type failingOnceStore struct {
	*store.Store
	failed atomic.Bool
}

func (s *failingOnceStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if !s.failed.Swap(true) {
		return execution.Change{}, fmt.Errorf("%w: on purpose", store.ErrUnavailable)
	}
	return s.Store.Apply(ctx, ref, ev)
}

// mortalStore is the real store of a janitor that is killed after so many changes: no later one is made, and none of
// its publications happens.
type mortalStore struct {
	*store.Store
	lives atomic.Int64
	kill  context.CancelFunc
}

func (s *mortalStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if s.lives.Add(-1) < 0 {
		s.kill()
		return execution.Change{}, context.Canceled
	}
	return s.Store.Apply(ctx, ref, ev)
}

// mortalPublisher loses what a killed janitor has not published.
type mortalPublisher struct {
	*fixture
	alive func() bool
}

func (p mortalPublisher) Publish(ctx context.Context, ch execution.Change) error {
	if !p.alive() {
		return context.Canceled
	}
	return p.fixture.Publish(ctx, ch)
}

// A janitor is killed in the middle of requeueing the 5,000 executions of a session. The next one requeues the rest,
// each exactly once, and what the first had requeued but not published is published when it is due.
func TestReapContinuesAfterKill(t *testing.T) {
	t.Parallel()
	const total, before = 5000, 2300
	f := newFixture(t)
	f.published = make(chan execution.Change, 2*total)
	refs := f.createRunning(total)

	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	s := &mortalStore{Store: f.store, kill: kill}
	s.lives.Store(before)
	killed := f.newJanitor(s, Retention{})
	killed.config.Publisher = mortalPublisher{f, func() bool { return s.lives.Load() > 50 }}
	require.Error(t, killed.Reap(ctx, fleet.Session{ID: session}), "the session is not deleted")
	require.Less(t, len(f.published), before, "some are queued and not published")

	startedAt := time.Now()
	f.reap()
	t.Logf("%d executions requeued in %s", total-before, time.Since(startedAt).Round(time.Millisecond))
	f.clock.Advance(46 * time.Second)
	require.NoError(t, f.sweep(f.store))
	published := map[execution.Ref]bool{}
	for len(f.published) > 0 {
		for _, ref := range refsOf(<-f.published) {
			published[ref] = true
		}
	}
	for _, ref := range refs {
		require.True(t, published[ref], "%s was published", ref.ID)
	}
	queued, err := f.firestore.Client.CollectionGroup("executions").Where("status", "==", "queued").Documents(t.Context()).GetAll()
	require.NoError(t, err)
	require.Len(t, queued, total)
	for _, snap := range queued {
		require.EqualValues(t, 1, snap.Data()["failedAttempts"], "each lost exactly one attempt")
	}
}

// createRunning stores executions that run under the session of the tests.
func (f *fixture) createRunning(n int) (refs []execution.Ref) {
	f.t.Helper()
	now, err := f.store.Now(f.t.Context())
	require.NoError(f.t, err)
	writer := f.firestore.Client.BulkWriter(f.t.Context())
	var jobs []*firestore.BulkWriterJob
	for range n {
		e := execution.New(execution.Spec{Tenant: ada, Kind: execution.KindRun, Limits: execution.Limits{Timeout: time.Hour}}, now)
		require.NoError(f.t, e.Apply(claim, now))
		job, err := writer.Create(f.firestore.Client.Doc("tenants/"+ada+"/executions/"+e.ID), &e)
		require.NoError(f.t, err)
		jobs, refs = append(jobs, job), append(refs, e.Ref())
	}
	writer.End()
	for _, job := range jobs {
		_, err := job.Results()
		require.NoError(f.t, err)
	}
	return refs
}

// The janitor sleeps until the next execution is due that it knows of, or for the interval.
func TestSweepWaitsForNextDue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	j := f.newJanitor(f.store, Retention{})
	j.config.Interval = Interval
	wait, err := j.sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, Interval, wait, "nothing will be due")
	f.submit()
	wait, err = j.sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, Interval, wait, "something is due after the interval")
	f.clock.Advance(40 * time.Second)
	wait, err = j.sweep(t.Context())
	require.NoError(t, err)
	require.InDelta(t, 5*time.Second, wait, float64(4*time.Second), "it is due in 5 s")
	require.Empty(t, f.published)
	f.clock.Advance(5 * time.Second)
	wait, err = j.sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, minInterval, wait)
	f.next()
}
