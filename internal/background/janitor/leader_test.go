package janitor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// observedStore is the real store of one janitor. The test can kill or pause that janitor.
type observedStore struct {
	*store.Store
	leadCalls atomic.Int32 // calls of AcquireLeadership
	dueCalls  atomic.Int32 // calls of DueExecutions

	killed atomic.Bool
	pause  atomic.Pointer[pausePoint]
}

// pausePoint pauses the next Apply.
type pausePoint struct{ reached, resume chan struct{} }

func (s *observedStore) AcquireLeadership(ctx context.Context, name string, lease time.Duration) (bool, time.Time, error) {
	leads, now, err := s.Store.AcquireLeadership(ctx, name, lease)
	s.leadCalls.Add(1)
	return leads, now, err
}

func (s *observedStore) DueExecutions(ctx context.Context, now time.Time, scan *store.Scan, limit int) ([]execution.Ref, error) {
	s.dueCalls.Add(1)
	return s.Store.DueExecutions(ctx, now, scan, limit)
}

func (s *observedStore) ReleaseLeadership(ctx context.Context, name string) error {
	if s.killed.Load() {
		return errors.New("a killed janitor cannot resign")
	}
	return s.Store.ReleaseLeadership(ctx, name)
}

func (s *observedStore) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if p := s.pause.Swap(nil); p != nil {
		close(p.reached)
		<-p.resume
	}
	return s.Store.Apply(ctx, ref, ev)
}

// startTwo starts a janitor, waits until it leads, and starts another one.
func (f *fixture) startTwo() (leader, other *observedStore, stop func()) {
	f.t.Helper()
	leader, other = &observedStore{Store: f.store}, &observedStore{Store: f.store}
	stop = f.run(f.newJanitor(leader, Retention{}))
	f.eventually(func() bool { return leader.dueCalls.Load() > 0 })
	f.run(f.newJanitor(other, Retention{}))
	f.eventually(func() bool { return other.leadCalls.Load() > 3 })
	require.Zero(f.t, other.dueCalls.Load(), "only the leader sweeps")
	return leader, other, stop
}

func (f *fixture) eventually(holds func() bool) {
	f.t.Helper()
	require.Eventually(f.t, holds, waitTimeout, interval)
}

// After the death of a leader another janitor leads when the leader's lease has expired. An execution whose executor
// died at the same time is published again when its own lease has expired, too.
func TestKilledLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	leader, other, stop := f.startTwo()
	ref := f.submit()
	f.apply(ref, claim)
	leader.killed.Store(true)
	stop()

	leadCalls := other.leadCalls.Load()
	f.eventually(func() bool { return other.leadCalls.Load() > leadCalls+3 })
	require.Zero(t, other.dueCalls.Load(), "the lease of the leader has not expired")
	f.clock.Advance(Lease)
	f.eventually(func() bool { return other.dueCalls.Load() > 0 })
	require.Empty(t, f.published)
	f.clock.Advance(lease - Lease)
	require.Equal(t, []execution.Ref{ref}, f.next().Notify)
}

func TestStoppedLeaderIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, other, stop := f.startTwo()
	stop()
	f.eventually(func() bool { return other.dueCalls.Load() > 0 })
}

// A leader is paused in the middle of a sweep, and continues after another leader has done the work. It changes
// nothing.
func TestPausedLeaderChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	leader, other, _ := f.startTwo()
	ref := f.submit()
	f.apply(ref, claim)

	paused := &pausePoint{reached: make(chan struct{}), resume: make(chan struct{})}
	leader.pause.Store(paused)
	for remaining := lease; remaining > 0; remaining -= Lease / 2 { // in steps, so that the leader can renew its lease
		leadCalls := leader.leadCalls.Load()
		f.clock.Advance(Lease / 2)
		f.eventually(func() bool { return leader.pause.Load() == nil || leader.leadCalls.Load() > leadCalls+1 })
	}
	<-paused.reached
	f.clock.Advance(Lease)
	require.Equal(t, []execution.Ref{ref}, f.next().Notify, "the other janitor repairs it")
	before := f.stored(ref)

	leadCalls := leader.leadCalls.Load()
	close(paused.resume)
	f.eventually(func() bool { return leader.leadCalls.Load() > leadCalls+1 })
	require.Equal(t, before, f.stored(ref))
	require.Empty(t, f.published, "it is published once")
	dueCalls := leader.dueCalls.Load()
	leadCalls = leader.leadCalls.Load()
	f.eventually(func() bool { return leader.leadCalls.Load() > leadCalls+3 })
	require.Equal(t, dueCalls, leader.dueCalls.Load(), "it does not lead any more")
	require.Positive(t, other.dueCalls.Load())
}
