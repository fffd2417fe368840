package app

import (
	"errors"
	"math"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/quota"
)

// Tenants is the configuration of what each tenant may have; the same for the
// API and the executors. 0 is no bound. The limits are soft: processes that
// look at the same moment may together pass them by a little.
type TenantLimits struct {
	// Queued is how many executions of a tenant may wait, outside batches. More are refused.
	MaxQueued int `env:"AIRLOCK_TENANT_MAX_QUEUED" envDefault:"10000"`
	// Running is how many may run at once. The others wait.
	MaxRunning int `env:"AIRLOCK_TENANT_MAX_RUNNING"`
	// DailyUSD is what a tenant's executions may cost in a day of UTC. Then submissions are refused, and what was
	// accepted waits for the next day. What runs goes on; its own budget bounds it.
	MaxDailyCostUSD float64 `env:"AIRLOCK_TENANT_MAX_DAILY_USD"`
}

// limited is the store as tenants may use it.
func (t TenantLimits) newQuotaStore(conn *clients, log *zap.Logger) *quota.Enforcer {
	limits := quota.Limits{Queued: t.MaxQueued, Running: t.MaxRunning, DailyUSD: t.MaxDailyCostUSD}
	return quota.New(conn.store, limits, conn.queue, log.Named("quota"))
}

func (t TenantLimits) validate() error {
	if t.MaxQueued < 0 || t.MaxRunning < 0 || !(t.MaxDailyCostUSD >= 0) || math.IsInf(t.MaxDailyCostUSD, 0) {
		return errors.New("AIRLOCK_TENANT_MAX_QUEUED, AIRLOCK_TENANT_MAX_RUNNING and AIRLOCK_TENANT_MAX_DAILY_USD cannot be negative")
	}
	return nil
}
