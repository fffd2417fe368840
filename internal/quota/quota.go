// Package quota holds tenants to their limits: how many executions of a tenant
// may wait, how many may run, and what they may cost in a day.
//
// The limits are soft. A tenant's executions have no document in common that
// could count them, for it would be written by every one of them; they are
// counted by queries instead. Processes that count at the same moment may so
// together pass a limit: that of what runs by one for each further process, the
// others by what they accept within the second for which a count is remembered.
package quota

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// Limits are those of each tenant; a zero is no bound.
type Limits struct {
	Queued   int     // executions that wait, outside batches
	Running  int     // executions that run
	DailyUSD float64 // cost of what ends within a day of UTC
}

// QueueFullError refuses a submission, since as many executions wait as may.
type QueueFullError struct{ Limit int }

func (e *QueueFullError) Error() string {
	return fmt.Sprintf("%d executions of the tenant wait", e.Limit)
}

// BudgetSpentError refuses a submission, since the tenant has spent what it may in a day.
type DailyBudgetExceededError struct {
	LimitUSD   float64
	RetryAfter time.Duration // of the day
}

func (e *DailyBudgetExceededError) Error() string {
	return fmt.Sprintf("the tenant has spent the %g USD of a day", e.LimitUSD)
}

// Bell tells of a change. It may fail without harm.
type Publisher interface {
	Publish(ctx context.Context, ch execution.Change) error
}

// Store is the store as tenants may use it: its submissions and claims are held
// against the limits, all else is the store's. It is safe for concurrent use.
type Enforcer struct {
	*store.Store
	limits          Limits
	publisher       Publisher
	log             *zap.Logger
	usages          *lru.Cache[string, *tenantUsage]
	pendingReleases *broadcast.PendingSet[string] // tenants of which a place may have become free
}

// remembered is of how many tenants a process knows the counts.
const usageCacheSize = 10_000

// New returns a store under limits. Run has to run where Apply is called.
func New(s *store.Store, limits Limits, publisher Publisher, log *zap.Logger) *Enforcer {
	usages, err := lru.New[string, *tenantUsage](usageCacheSize)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	return &Enforcer{Store: s, limits: limits, publisher: publisher, log: log, usages: usages, pendingReleases: broadcast.NewPendingSet[string]()}
}

// SubmitRun is the store's, and returns a QueueFullError or BudgetSpentError besides.
func (s *Enforcer) SubmitRun(ctx context.Context, r store.RunRequest) (execution.Change, error) {
	if err := s.admit(ctx, r.Tenant, execution.LaneInteractive); err != nil {
		return execution.Change{}, err
	}
	return s.Store.SubmitRun(ctx, r)
}

// SubmitTurn is the store's, and returns a QueueFullError or BudgetSpentError besides.
func (s *Enforcer) SubmitTurn(ctx context.Context, t store.TurnRequest) (execution.Change, error) {
	if err := s.admit(ctx, t.Tenant, execution.LaneInteractive); err != nil {
		return execution.Change{}, err
	}
	return s.Store.SubmitTurn(ctx, t)
}

// Retry is the store's, and returns a QueueFullError or BudgetSpentError besides.
func (s *Enforcer) Retry(ctx context.Context, ref execution.Ref) (execution.Change, error) {
	if err := s.admit(ctx, ref.Tenant, execution.LaneInteractive); err != nil {
		return execution.Change{}, err
	}
	return s.Store.Retry(ctx, ref)
}

// SubmitBatch is the store's, and returns a BudgetSpentError besides.
func (s *Enforcer) SubmitBatch(ctx context.Context, b *batch.Batch) error {
	if err := s.admit(ctx, b.Tenant, execution.LaneBatch); err != nil {
		return err
	}
	return s.Store.SubmitBatch(ctx, b)
}
