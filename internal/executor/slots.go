package executor

import (
	"context"
	"sync"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// slots limits how many jobs run at the same time: total jobs, of which at most batchLimit are of batches.
type slots struct {
	total, batchLimit int

	mu       sync.Mutex
	taken    map[execution.Lane]int
	released chan struct{} // closed and replaced by every release
}

func newSlots(total, reserved int) *slots {
	return &slots{total: total, batchLimit: total - reserved, taken: map[execution.Lane]int{}, released: make(chan struct{})}
}

// await waits until a lane has free slots and returns how many, or the cause of ctx if that ends first. It does not
// reserve them: only take does.
func (s *slots) await(ctx context.Context, lane execution.Lane) (int, error) {
	for {
		free, released := s.status(lane)
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

func (s *slots) status(lane execution.Lane) (free int, released <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free(lane), s.released
}

// count returns how many slots of a lane are free.
func (s *slots) count(lane execution.Lane) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free(lane)
}

// take takes a slot and reports whether there was one. The caller keeps it until release.
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

// busy returns how many slots are taken.
func (s *slots) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[execution.LaneInteractive] + s.taken[execution.LaneBatch]
}
