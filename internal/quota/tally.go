package quota

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

const (
	// fresh is how long counts are good enough to accept by, so that a submission does not pay for one each time.
	fresh = time.Second
	// doubtful is the age at which they are not good enough to refuse by: what waited may have begun since.
	doubtful = 100 * time.Millisecond
)

// tally is what a process knows of one tenant: what was counted, and how much
// it has accepted since.
type tally struct {
	claiming *semaphore.Weighted // held by the one claim at a time that counts and takes a place

	mu     sync.Mutex // held while counting, so that all who ask meanwhile share the count
	asked  time.Time  // by this machine's monotonic clock
	queued int
	spent  float64
	rest   time.Duration // of the day, when it was asked for
}

func (s *Store) tally(owner string) *tally {
	empty := &tally{claiming: semaphore.NewWeighted(1)}
	if t, known, _ := s.tallies.PeekOrAdd(owner, empty); known {
		return t
	}
	return empty
}

// admit lets a submission pass, or returns a QueueFullError or BudgetSpentError.
func (s *Store) admit(ctx context.Context, owner string, lane execution.Lane) error {
	if s.limits.Queued == 0 && s.limits.DailyUSD == 0 {
		return nil
	}
	t := s.tally(owner)
	t.mu.Lock()
	defer t.mu.Unlock()
	err := s.count(ctx, owner, t, fresh)
	if err == nil && s.refuse(t, lane) != nil {
		err = s.count(ctx, owner, t, doubtful)
	}
	if err == nil {
		err = s.refuse(t, lane)
	}
	if err == nil && lane == execution.Interactive {
		t.queued++
	}
	return err
}

func (s *Store) refuse(t *tally, lane execution.Lane) error {
	switch {
	case s.spentUp(t):
		return &BudgetSpentError{LimitUSD: s.limits.DailyUSD, Rest: t.rest}
	case lane == execution.Interactive && s.limits.Queued > 0 && t.queued >= s.limits.Queued:
		return &QueueFullError{Limit: s.limits.Queued}
	default:
		return nil
	}
}

func (s *Store) spentUp(t *tally) bool { return s.limits.DailyUSD > 0 && t.spent >= s.limits.DailyUSD }

// count counts anew what was counted longer ago than that.
func (s *Store) count(ctx context.Context, owner string, t *tally, age time.Duration) (err error) {
	now := time.Now()
	if now.Sub(t.asked) < age {
		return nil
	}
	if s.limits.Queued > 0 {
		if t.queued, err = s.CountWaiting(ctx, owner, s.limits.Queued); err != nil {
			return err
		}
	}
	if s.limits.DailyUSD > 0 {
		if t.spent, t.rest, err = s.SpentToday(ctx, owner); err != nil {
			return err
		}
	}
	t.asked = now
	return nil
}
