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
	maxAgeToAdmit = time.Second
	// doubtful is the age at which they are not good enough to refuse by: what waited may have begun since.
	maxAgeToReject = 100 * time.Millisecond
)

// tally is what a process knows of one tenant: what was counted, and how much
// it has accepted since.
type tenantUsage struct {
	claimSem *semaphore.Weighted // held by the one claim at a time that counts and takes a place

	mu         sync.Mutex // held while counting, so that all who ask meanwhile share the count
	countedAt  time.Time  // by this machine's monotonic clock
	queued     int
	spentUSD   float64
	untilReset time.Duration // of the day, when it was asked for
}

func (s *Enforcer) usage(tenant string) *tenantUsage {
	empty := &tenantUsage{claimSem: semaphore.NewWeighted(1)}
	if u, ok, _ := s.usages.PeekOrAdd(tenant, empty); ok {
		return u
	}
	return empty
}

// admit lets a submission pass, or returns a QueueFullError or BudgetSpentError.
func (s *Enforcer) admit(ctx context.Context, tenant string, lane execution.Lane) error {
	if s.limits.Queued == 0 && s.limits.DailyUSD == 0 {
		return nil
	}
	u := s.usage(tenant)
	u.mu.Lock()
	defer u.mu.Unlock()
	err := s.refresh(ctx, tenant, u, maxAgeToAdmit)
	if err == nil && s.checkLimits(u, lane) != nil {
		err = s.refresh(ctx, tenant, u, maxAgeToReject)
	}
	if err == nil {
		err = s.checkLimits(u, lane)
	}
	if err == nil && lane == execution.LaneInteractive {
		u.queued++
	}
	return err
}

func (s *Enforcer) checkLimits(u *tenantUsage, lane execution.Lane) error {
	switch {
	case s.budgetExceeded(u):
		return &DailyBudgetExceededError{LimitUSD: s.limits.DailyUSD, RetryAfter: u.untilReset}
	case lane == execution.LaneInteractive && s.limits.Queued > 0 && u.queued >= s.limits.Queued:
		return &QueueFullError{Limit: s.limits.Queued}
	default:
		return nil
	}
}

func (s *Enforcer) budgetExceeded(u *tenantUsage) bool {
	return s.limits.DailyUSD > 0 && u.spentUSD >= s.limits.DailyUSD
}

// count counts anew what was counted longer ago than that.
func (s *Enforcer) refresh(ctx context.Context, tenant string, u *tenantUsage, maxAge time.Duration) (err error) {
	now := time.Now()
	if now.Sub(u.countedAt) < maxAge {
		return nil
	}
	if s.limits.Queued > 0 {
		if u.queued, err = s.CountQueued(ctx, tenant, s.limits.Queued); err != nil {
			return err
		}
	}
	if s.limits.DailyUSD > 0 {
		if u.spentUSD, u.untilReset, err = s.CostToday(ctx, tenant); err != nil {
			return err
		}
	}
	u.countedAt = now
	return nil
}
