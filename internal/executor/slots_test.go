package executor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestReservedSlotsAreForInteractiveLane(t *testing.T) {
	s := newSlots(3, 1)
	free := func(lane execution.Lane) int {
		n, _ := s.status(lane)
		return n
	}
	require.Equal(t, 3, free(execution.LaneInteractive))
	require.Equal(t, 2, free(execution.LaneBatch))
	require.True(t, s.take(execution.LaneBatch))
	require.True(t, s.take(execution.LaneBatch))
	require.False(t, s.take(execution.LaneBatch), "the last slot is reserved")
	require.True(t, s.take(execution.LaneInteractive))
	require.False(t, s.take(execution.LaneInteractive))
	s.release(execution.LaneInteractive)
	require.False(t, s.take(execution.LaneBatch))
	s.release(execution.LaneBatch)
	require.Equal(t, 2, free(execution.LaneInteractive))
	require.Equal(t, 1, free(execution.LaneBatch))
}

// In any order of take and release both limits hold, and take returns false only because of a limit.
func TestSlotsNeverExceedLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 6).Draw(t, "total")
		reserved := rapid.IntRange(0, total-1).Draw(t, "reserved")
		s := newSlots(total, reserved)
		taken := map[execution.Lane]int{}
		lanes := rapid.SampledFrom([]execution.Lane{execution.LaneInteractive, execution.LaneBatch})
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				lane := lanes.Draw(t, "lane")
				available := taken[execution.LaneInteractive]+taken[execution.LaneBatch] < total
				if lane == execution.LaneBatch {
					available = available && taken[lane] < total-reserved
				}
				if s.take(lane) != available {
					t.Fatalf("take returned %t, want %t", !available, available)
				}
				if available {
					taken[lane]++
				}
			},
			"release": func(t *rapid.T) {
				lane := lanes.Draw(t, "lane")
				if taken[lane] == 0 {
					t.Skip("no slot is taken")
				}
				s.release(lane)
				taken[lane]--
			},
		})
	})
}

func TestAwaitReturnsWhenSlotIsReleased(t *testing.T) {
	s := newSlots(1, 0)
	require.True(t, s.take(execution.LaneInteractive))
	var waiting errgroup.Group
	waiting.Go(func() error {
		free, err := s.await(t.Context(), execution.LaneBatch)
		require.Equal(t, 1, free)
		return err
	})
	s.release(execution.LaneInteractive)
	require.NoError(t, waiting.Wait())
}

func TestAwaitReturnsCauseOfContext(t *testing.T) {
	s := newSlots(1, 0)
	require.True(t, s.take(execution.LaneInteractive))
	ctx, cancel := context.WithCancelCause(t.Context())
	errOver := errors.New("over")
	cancel(errOver)
	_, err := s.await(ctx, execution.LaneInteractive)
	require.ErrorIs(t, err, errOver)
}

func TestEveryWaiterGetsSlot(t *testing.T) {
	const waiters = 50
	s := newSlots(2, 0)
	var served atomic.Int32
	var all errgroup.Group
	for i := range waiters {
		lane := []execution.Lane{execution.LaneInteractive, execution.LaneBatch}[i%2]
		all.Go(func() error {
			for {
				if _, err := s.await(t.Context(), lane); err != nil {
					return err
				}
				if s.take(lane) {
					served.Add(1)
					s.release(lane)
					return nil
				}
			}
		})
	}
	require.NoError(t, all.Wait())
	require.EqualValues(t, waiters, served.Load())
}

// However an attempt ends, it releases its slot, and its place among the attempts that write their results.
func TestEndedAttemptReleasesSlotAndPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const jobs = 6
	ended := make(chan struct{}, jobs)
	var ends atomic.Int32
	s := &faultyStore{f.store, func(_ context.Context, ev execution.Event) error {
		if _, ok := ev.(execution.JobEnded); !ok {
			return nil
		}
		ended <- struct{}{}
		if ends.Add(1)%2 == 0 {
			return execution.ErrLeaseLost // nothing is written
		}
		return nil
	}}
	c := testConfig()
	c.Slots, c.Reserved = 2, 0
	x := f.newExecutor(c, s, f.queue, answeringSandbox("done"))
	f.start(x)
	for i := range jobs {
		f.submit("offline", fmt.Sprint(i))
	}
	for range jobs {
		next(t, ended)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	require.NoError(t, x.finishSem.Acquire(ctx, int64(c.Slots)), "an attempt that has ended kept its place")
	x.finishSem.Release(int64(c.Slots))
	for {
		free, released := x.slots.status(execution.LaneInteractive)
		if free == c.Slots {
			return
		}
		select {
		case <-released:
		case <-ctx.Done():
			require.Equal(t, c.Slots, free, "an attempt that has ended kept its slot")
		}
	}
}
