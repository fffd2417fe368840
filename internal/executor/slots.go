package executor

import (
	"context"
	"sync"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// slots are the jobs that may run at once: so many in all, of which batches
// may have all but the reserved ones.
type slots struct {
	total, batchLimit int

	mu       sync.Mutex
	taken    map[execution.Lane]int
	released chan struct{} // closed, and made anew, by every release
}

func newSlots(total, reserved int) *slots {
	return &slots{total: total, batchLimit: total - reserved, taken: map[execution.Lane]int{}, released: make(chan struct{})}
}

// await returns how many slots are free for a lane, once there are any; the
// cause of ctx when it ends before. Nothing keeps them free but take.
func (s *slots) await(ctx context.Context, lane execution.Lane) (int, error) {
	for {
		free, released := s.inspect(lane)
		if free > 0 {
			return free, nil
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-released:
		}
	}
}

func (s *slots) inspect(lane execution.Lane) (free int, released <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free(lane), s.released
}

// take reports whether there was a slot for the lane; it is then the caller's until release.
func (s *slots) take(lane execution.Lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free(lane) == 0 {
		return false
	}
	s.taken[lane]++
	return true
}

func (s *slots) release(lane execution.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[lane]--
	close(s.released)
	s.released = make(chan struct{})
}

func (s *slots) free(lane execution.Lane) int {
	free := s.total - s.taken[execution.LaneInteractive] - s.taken[execution.LaneBatch]
	if lane == execution.LaneBatch {
		free = min(free, s.batchLimit-s.taken[execution.LaneBatch])
	}
	return free
}
