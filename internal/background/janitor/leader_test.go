package janitor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// watched is the real store as one janitor has it, which can be killed and paused.
type observedStore struct {
	*store.Store
	leadCalls atomic.Int32 // to lead
	dueCalls  atomic.Int32 // for what is due

	killed atomic.Bool
	pause  atomic.Pointer[pausePoint]
}

// pause holds up the next Apply.
type pausePoint struct{ reached, resume chan struct{} }

func (s *observedStore) Lead(ctx context.Context, name string, lease time.Duration) (bool, time.Time, error) {
	leads, now, err := s.Store.AcquireLeadership(ctx, name, lease)
	s.leadCalls.Add(1)
	return leads, now, err
}

func (s *observedStore) DueExecutions(ctx context.Context, now time.Time, limit int) ([]execution.Ref, error) {
	s.dueCalls.Add(1)
	return s.Store.DueExecutions(ctx, now, limit)
}

func (s *observedStore) ReleaseLeadership(ctx context.Context, name string) error {
	if s.killed.Load() {
		return errors.New("who was killed resigns nothing")
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

// elected starts a janitor that leads, and then another one.
func (w *fixture) startTwo() (leader, other *observedStore, stop func()) {
	w.t.Helper()
	leader, other = &observedStore{Store: w.store}, &observedStore{Store: w.store}
	stop = w.run(New(leader, w, Retention{}, interval, zaptest.NewLogger(w.t)))
	w.eventually(func() bool { return leader.dueCalls.Load() > 0 })
	w.run(New(other, w, Retention{}, interval, zaptest.NewLogger(w.t)))
	w.eventually(func() bool { return other.leadCalls.Load() > 3 })
	require.Zero(w.t, other.dueCalls.Load(), "it only waits for its turn")
	return leader, other, stop
}

func (w *fixture) eventually(holds func() bool) {
	w.t.Helper()
	require.Eventually(w.t, holds, waitTimeout, interval)
}

// A killed leader takes its lease along. An execution whose executor died with
// it runs again within the lease, an interval and the execution's own time.
func TestKilledLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	leader, other, stop := w.startTwo()
	ref := w.submit()
	w.apply(ref, claim)
	leader.killed.Store(true)
	stop()

	leadCalls := other.leadCalls.Load()
	w.eventually(func() bool { return other.leadCalls.Load() > leadCalls+3 })
	require.Zero(t, other.dueCalls.Load(), "the lease still runs")
	w.clock.Advance(Lease)
	w.eventually(func() bool { return other.dueCalls.Load() > 0 })
	require.Empty(t, w.published)
	w.clock.Advance(lease - Lease)
	require.Equal(t, []execution.Ref{ref}, w.next().Notify)
}

func TestStoppedLeaderIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	_, other, stop := w.startTwo()
	stop()
	w.eventually(func() bool { return other.dueCalls.Load() > 0 })
}

// A leader that was paused in the middle of a sweep goes on with what another
// has done meanwhile, and changes nothing by it.
func TestPausedLeaderChangesNothing(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	leader, other, _ := w.startTwo()
	ref := w.submit()
	w.apply(ref, claim)

	paused := &pausePoint{reached: make(chan struct{}), resume: make(chan struct{})}
	leader.pause.Store(paused)
	for remaining := lease; remaining > 0; remaining -= Lease / 2 { // in steps that let the leader keep its lease
		leadCalls := leader.leadCalls.Load()
		w.clock.Advance(Lease / 2)
		w.eventually(func() bool { return leader.pause.Load() == nil || leader.leadCalls.Load() > leadCalls+1 })
	}
	<-paused.reached
	w.clock.Advance(Lease)
	require.Equal(t, []execution.Ref{ref}, w.next().Notify, "the other puts it right")
	before := w.stored(ref)

	leadCalls := leader.leadCalls.Load()
	close(paused.resume)
	w.eventually(func() bool { return leader.leadCalls.Load() > leadCalls+1 })
	require.Equal(t, before, w.stored(ref))
	require.Empty(t, w.published, "it is announced once")
	dueCalls := leader.dueCalls.Load()
	leadCalls = leader.leadCalls.Load()
	w.eventually(func() bool { return leader.leadCalls.Load() > leadCalls+3 })
	require.Equal(t, dueCalls, leader.dueCalls.Load(), "it does not lead any more")
	require.Positive(t, other.dueCalls.Load())
}
