package quota

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

const (
	// maxAgeToAdmit is the greatest age of counts by which a submission is accepted, so that few submissions count.
	maxAgeToAdmit = time.Second
	// maxAgeToReject is the greatest age of counts by which a submission is rejected: queued executions may have
	// started since.
	maxAgeToReject = 100 * time.Millisecond
)

// tenantUsage is what a process knows about one tenant: the last counts, and the executions it has accepted since.
type tenantUsage struct {
	claimSem *semaphore.Weighted // held by the one claim that counts and then starts an execution

	mu         sync.Mutex // held while counting, so that concurrent callers share the count
	countedAt  time.Time  // by this machine's monotonic clock
	queued     int
	spentUSD   float64
	untilReset time.Duration // from countedAt until the next day begins
}

func (e *Enforcer) usage(tenant string) *tenantUsage {
	empty := &tenantUsage{claimSem: semaphore.NewWeighted(1)}
	if u, ok, _ := e.usages.PeekOrAdd(tenant, empty); ok {
		return u
	}
	return empty
}

// admit returns nil for a submission within the limits, else a QueueFullError or a DailyBudgetExceededError.
func (e *Enforcer) admit(ctx context.Context, tenant string, lane execution.Lane) error {
	if e.limits.Queued == 0 && e.limits.DailyUSD == 0 {
		return nil
	}
	u := e.usage(tenant)
	u.mu.Lock()
	defer u.mu.Unlock()
	err := e.refresh(ctx, tenant, u, maxAgeToAdmit)
	if err == nil && e.checkLimits(u, lane) != nil {
		err = e.refresh(ctx, tenant, u, maxAgeToReject)
	}
	if err == nil {
		err = e.checkLimits(u, lane)
	}
	if err == nil && lane == execution.LaneInteractive {
		u.queued++
	}
	return err
}

func (e *Enforcer) checkLimits(u *tenantUsage, lane execution.Lane) error {
	switch {
	case e.budgetExceeded(u):
		return &DailyBudgetExceededError{LimitUSD: e.limits.DailyUSD, RetryAfter: u.untilReset}
	case lane == execution.LaneInteractive && e.limits.Queued > 0 && u.queued >= e.limits.Queued:
		return &QueueFullError{Limit: e.limits.Queued}
	default:
		return nil
	}
}

func (e *Enforcer) budgetExceeded(u *tenantUsage) bool {
	return e.limits.DailyUSD > 0 && u.spentUSD >= e.limits.DailyUSD
}

// refresh counts again when the last counts are maxAge old or older. The caller holds u.mu.
func (e *Enforcer) refresh(ctx context.Context, tenant string, u *tenantUsage, maxAge time.Duration) (err error) {
	now := time.Now()
	if now.Sub(u.countedAt) < maxAge {
		return nil
	}
	if e.limits.Queued > 0 {
		if u.queued, err = e.store.CountQueued(ctx, tenant, e.limits.Queued); err != nil {
			return err
		}
	}
	if e.limits.DailyUSD > 0 {
		if u.spentUSD, u.untilReset, err = e.store.CostToday(ctx, tenant); err != nil {
			return err
		}
	}
	u.countedAt = now
	return nil
}
