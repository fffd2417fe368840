package executor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestSlotsAreSharedAndReserved(t *testing.T) {
	s := newSlots(3, 1)
	free := func(lane execution.Lane) int {
		n, _ := s.look(lane)
		return n
	}
	require.Equal(t, 3, free(execution.Interactive))
	require.Equal(t, 2, free(execution.Batch))
	require.True(t, s.take(execution.Batch))
	require.True(t, s.take(execution.Batch))
	require.False(t, s.take(execution.Batch), "the last is reserved")
	require.True(t, s.take(execution.Interactive))
	require.False(t, s.take(execution.Interactive))
	s.release(execution.Interactive)
	require.False(t, s.take(execution.Batch))
	s.release(execution.Batch)
	require.Equal(t, 2, free(execution.Interactive))
	require.Equal(t, 1, free(execution.Batch))
}

// Whatever is taken and released in whatever order, both bounds hold, and a
// slot is refused only where one of them would not.
func TestSlotsHoldTheirBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.IntRange(1, 6).Draw(t, "all")
		reserved := rapid.IntRange(0, all-1).Draw(t, "reserved")
		s := newSlots(all, reserved)
		taken := map[execution.Lane]int{}
		lanes := rapid.SampledFrom([]execution.Lane{execution.Interactive, execution.Batch})
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				lane := lanes.Draw(t, "lane")
				room := taken[execution.Interactive]+taken[execution.Batch] < all
				if lane == execution.Batch {
					room = room && taken[lane] < all-reserved
				}
				if s.take(lane) != room {
					t.Fatalf("took a slot: %t; there is one: %t", !room, room)
				}
				if room {
					taken[lane]++
				}
			},
			"release": func(t *rapid.T) {
				lane := lanes.Draw(t, "lane")
				if taken[lane] == 0 {
					t.Skip("none is taken")
				}
				s.release(lane)
				taken[lane]--
			},
		})
	})
}

func TestAwaitReturnsWithTheNextSlot(t *testing.T) {
	s := newSlots(1, 0)
	require.True(t, s.take(execution.Interactive))
	var waiting errgroup.Group
	waiting.Go(func() error {
		free, err := s.await(t.Context(), execution.Batch)
		require.Equal(t, 1, free)
		return err
	})
	s.release(execution.Interactive)
	require.NoError(t, waiting.Wait())
}

func TestAwaitEndsWithTheCauseOfItsContext(t *testing.T) {
	s := newSlots(1, 0)
	require.True(t, s.take(execution.Interactive))
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("over")
	cancel(over)
	_, err := s.await(ctx, execution.Interactive)
	require.ErrorIs(t, err, over)
}

// Nobody who waits is forgotten.
func TestEveryWaiterHasItsTurn(t *testing.T) {
	const waiters = 50
	s := newSlots(2, 0)
	var turns atomic.Int32
	var all errgroup.Group
	for i := range waiters {
		lane := []execution.Lane{execution.Interactive, execution.Batch}[i%2]
		all.Go(func() error {
			for {
				if _, err := s.await(t.Context(), lane); err != nil {
					return err
				}
				if s.take(lane) {
					turns.Add(1)
					s.release(lane)
					return nil
				}
			}
		})
	}
	require.NoError(t, all.Wait())
	require.EqualValues(t, waiters, turns.Load())
}
