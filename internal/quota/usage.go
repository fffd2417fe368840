package quota

import (
	"context"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

// tenantUsage is what a process knows about one tenant.
type tenantUsage struct {
	mu         sync.Mutex // held while summing, so that concurrent callers share the sum
	summedAt   time.Time  // by this machine's monotonic clock
	spentUSD   float64
	untilReset time.Duration // from summedAt until the next day begins
}

func (e *Enforcer) usage(name string) *tenantUsage {
	empty := &tenantUsage{}
	if u, ok, _ := e.usages.PeekOrAdd(name, empty); ok {
		return u
	}
	return empty
}

// checkBudget returns nil while the tenant is within its daily budget, else a DailyBudgetExceededError.
func (e *Enforcer) checkBudget(ctx context.Context, name string, t *tenant.Tenant) error {
	limit := e.limits.DailyUSD
	if t.MaxDailyUSD != nil {
		limit = *t.MaxDailyUSD
	}
	if limit == 0 {
		return nil
	}
	u := e.usage(name)
	u.mu.Lock()
	defer u.mu.Unlock()
	err := e.refresh(ctx, name, u, maxAgeToAdmit)
	if err == nil && u.spentUSD >= limit {
		err = e.refresh(ctx, name, u, maxAgeToReject)
	}
	if err == nil && u.spentUSD >= limit {
		return &DailyBudgetExceededError{LimitUSD: limit, RetryAfter: u.untilReset}
	}
	return err
}

// refresh sums again when the last sum is maxAge old or older. The caller holds u.mu.
func (e *Enforcer) refresh(ctx context.Context, name string, u *tenantUsage, maxAge time.Duration) error {
	now := time.Now()
	if now.Sub(u.summedAt) < maxAge {
		return nil
	}
	spent, err := e.store.SpentToday(ctx, name)
	if err != nil {
		return err
	}
	u.spentUSD, u.untilReset = usage.USD(spent.NanoUSD), spent.UntilNextDay
	u.summedAt = now
	return nil
}
