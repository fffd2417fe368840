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
type watched struct {
	*store.Store
	asked  atomic.Int32 // to lead
	looked atomic.Int32 // for what is due

	killed atomic.Bool
	pause  atomic.Pointer[pause]
}

// pause holds up the next Apply.
type pause struct{ reached, over chan struct{} }

func (s *watched) Lead(ctx context.Context, name string, lease time.Duration) (bool, time.Time, error) {
	leads, now, err := s.Store.Lead(ctx, name, lease)
	s.asked.Add(1)
	return leads, now, err
}

func (s *watched) Due(ctx context.Context, now time.Time, limit int) ([]execution.Ref, error) {
	s.looked.Add(1)
	return s.Store.Due(ctx, now, limit)
}

func (s *watched) Resign(ctx context.Context, name string) error {
	if s.killed.Load() {
		return errors.New("who was killed resigns nothing")
	}
	return s.Store.Resign(ctx, name)
}

func (s *watched) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if p := s.pause.Swap(nil); p != nil {
		close(p.reached)
		<-p.over
	}
	return s.Store.Apply(ctx, ref, ev)
}

// elected starts a janitor that leads, and then another one.
func (w *world) elected() (leader, other *watched, stop func()) {
	w.t.Helper()
	leader, other = &watched{Store: w.store}, &watched{Store: w.store}
	stop = w.run(New(leader, w, Expiry{}, interval, zaptest.NewLogger(w.t)))
	w.eventually(func() bool { return leader.looked.Load() > 0 })
	w.run(New(other, w, Expiry{}, interval, zaptest.NewLogger(w.t)))
	w.eventually(func() bool { return other.asked.Load() > 3 })
	require.Zero(w.t, other.looked.Load(), "it only waits for its turn")
	return leader, other, stop
}

func (w *world) eventually(holds func() bool) {
	w.t.Helper()
	require.Eventually(w.t, holds, patience, interval)
}

// A killed leader takes its lease along. An execution whose executor died with
// it runs again within the lease, an interval and the execution's own time.
func TestAKilledLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leader, other, stop := w.elected()
	ref := w.submit()
	w.apply(ref, claim)
	leader.killed.Store(true)
	stop()

	asked := other.asked.Load()
	w.eventually(func() bool { return other.asked.Load() > asked+3 })
	require.Zero(t, other.looked.Load(), "the lease still runs")
	w.clock.Advance(Lease)
	w.eventually(func() bool { return other.looked.Load() > 0 })
	require.Empty(t, w.rung)
	w.clock.Advance(lease - Lease)
	require.Equal(t, []execution.Ref{ref}, w.next().Announce)
}

func TestALeaderThatStopsIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, other, stop := w.elected()
	stop()
	w.eventually(func() bool { return other.looked.Load() > 0 })
}

// A leader that was paused in the middle of a sweep goes on with what another
// has done meanwhile, and changes nothing by it.
func TestALateLeaderHarmsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leader, other, _ := w.elected()
	ref := w.submit()
	w.apply(ref, claim)

	held := &pause{reached: make(chan struct{}), over: make(chan struct{})}
	leader.pause.Store(held)
	for left := lease; left > 0; left -= Lease / 2 { // in steps that let the leader keep its lease
		asked := leader.asked.Load()
		w.clock.Advance(Lease / 2)
		w.eventually(func() bool { return leader.pause.Load() == nil || leader.asked.Load() > asked+1 })
	}
	<-held.reached
	w.clock.Advance(Lease)
	require.Equal(t, []execution.Ref{ref}, w.next().Announce, "the other puts it right")
	before := w.stored(ref)

	asked := leader.asked.Load()
	close(held.over)
	w.eventually(func() bool { return leader.asked.Load() > asked+1 })
	require.Equal(t, before, w.stored(ref))
	require.Empty(t, w.rung, "it is announced once")
	looked := leader.looked.Load()
	asked = leader.asked.Load()
	w.eventually(func() bool { return leader.asked.Load() > asked+3 })
	require.Equal(t, looked, leader.looked.Load(), "it does not lead any more")
	require.Positive(t, other.looked.Load())
}
