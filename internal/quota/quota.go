// Package quota enforces the limits of tenants: how many of a tenant's executions may be queued, how many may run, and
// what they may cost in a day.
//
// These calls go through an Enforcer, and no others:
//
//   - SubmitRun, SubmitTurn, Retry: rejected while the queue of the tenant is full or its daily budget is used up.
//   - SubmitBatch: rejected while the daily budget is used up. Inputs of batches do not count as queued.
//   - Apply: a claim is throttled while the tenant runs as many executions as it may, or its daily budget is used up.
//     Every other event may end an attempt, so afterwards Run releases throttled executions of the tenant.
//
// Reads and all other writes go to the store directly. They are not limited: see store.Redrive for the one way in which
// an operator creates executions past the limits.
//
// The limits are soft. No document counts a tenant's executions, because each of them would have to write to it; they
// are counted by queries instead. Processes that count at the same moment can exceed a limit together: the running
// limit by one execution per further process, the other limits by what they accept within the second for which a
// count is used.
package quota

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Limits apply to each tenant; a zero means no limit.
type Limits struct {
	Queued   int     // queued executions, without those of batches
	Running  int     // running executions
	DailyUSD float64 // cost of the executions that end within a day of UTC
}

// QueueFullError rejects a submission because the tenant has as many queued executions as it may have.
type QueueFullError struct{ Limit int }

func (e *QueueFullError) Error() string {
	return fmt.Sprintf("the tenant has %d queued executions, which is its limit", e.Limit)
}

// DailyBudgetExceededError rejects a submission because the tenant has used up its daily budget.
type DailyBudgetExceededError struct {
	LimitUSD   float64
	RetryAfter time.Duration // until the next day begins
}

func (e *DailyBudgetExceededError) Error() string {
	return fmt.Sprintf("the tenant has used up its daily budget of %g USD", e.LimitUSD)
}

// Store stores what the Enforcer admits, and counts what is stored. Its methods are safe for concurrent use.
type Store interface {
	writer
	counter
}

// writer has the calls that an Enforcer limits.
type writer interface {
	SubmitRun(ctx context.Context, r store.RunRequest) (execution.Change, error)
	SubmitTurn(ctx context.Context, t store.TurnRequest) (execution.Change, error)
	Retry(ctx context.Context, ref execution.Ref, key *store.IdempotencyKey) (execution.Change, error)
	SubmitBatch(ctx context.Context, b *batch.Batch, key *store.IdempotencyKey) error
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// counter tells what a tenant uses. A count stops at limit.
type counter interface {
	CountQueued(ctx context.Context, tenant string, limit int) (int, error)
	CountRunning(ctx context.Context, tenant string, limit int) (int, error)
	CostToday(ctx context.Context, tenant string) (usd float64, untilMidnight time.Duration, err error)
	OldestThrottled(ctx context.Context, tenant string, scan *store.Scan, limit int) ([]execution.Ref, error)
}

// Publisher publishes the notifications of a change. A failed call loses nothing: the janitor publishes again.
type Publisher interface {
	Publish(ctx context.Context, ch execution.Change) error
}

// Config has the parts and settings of an Enforcer. All fields are required.
type Config struct {
	Store     Store
	Limits    Limits
	Publisher Publisher
	Log       *zap.Logger
}

// Enforcer does what its store does, within the limits. It is safe for concurrent use.
type Enforcer struct {
	store           Store
	limits          Limits
	publisher       Publisher
	log             *zap.Logger
	usages          *lru.Cache[string, *tenantUsage]
	pendingReleases *supervise.WorkQueue[string] // tenants that may have capacity for a throttled execution
	failedReleases  *supervise.Backoffs[execution.Ref]
}

// usageCacheSize is the number of tenants whose counts a process remembers.
const usageCacheSize = 10_000

// New returns an Enforcer over a store. Every process that calls Apply must also call Run.
func New(c Config) *Enforcer {
	usages, err := lru.New[string, *tenantUsage](usageCacheSize)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	failedTenants := supervise.NewBackoffs[string](supervise.ReleaseThrottled, c.Log, store.IsUnavailable)
	return &Enforcer{
		store: c.Store, limits: c.Limits, publisher: c.Publisher, log: c.Log, usages: usages,
		pendingReleases: supervise.NewWorkQueue(failedTenants, 0),
		failedReleases:  supervise.NewBackoffs[execution.Ref](supervise.ReleaseThrottled, c.Log, store.IsUnavailable),
	}
}

// SubmitRun stores a run, or returns a QueueFullError or a DailyBudgetExceededError.
func (e *Enforcer) SubmitRun(ctx context.Context, r store.RunRequest) (execution.Change, error) {
	if err := e.admit(ctx, r.Tenant, execution.LaneInteractive); err != nil {
		return execution.Change{}, err
	}
	return e.store.SubmitRun(ctx, r)
}

// SubmitTurn stores a turn of a conversation, or returns a QueueFullError or a DailyBudgetExceededError.
func (e *Enforcer) SubmitTurn(ctx context.Context, t store.TurnRequest) (execution.Change, error) {
	if err := e.admit(ctx, t.Tenant, execution.LaneInteractive); err != nil {
		return execution.Change{}, err
	}
	return e.store.SubmitTurn(ctx, t)
}

// Retry stores a new execution of the same task, or returns a QueueFullError or a DailyBudgetExceededError.
func (e *Enforcer) Retry(ctx context.Context, ref execution.Ref, key *store.IdempotencyKey) (execution.Change, error) {
	if err := e.admit(ctx, ref.Tenant, execution.LaneInteractive); err != nil {
		return execution.Change{}, err
	}
	return e.store.Retry(ctx, ref, key)
}

// SubmitBatch stores a batch, or returns a DailyBudgetExceededError.
func (e *Enforcer) SubmitBatch(ctx context.Context, b *batch.Batch, key *store.IdempotencyKey) error {
	if err := e.admit(ctx, b.Tenant, execution.LaneBatch); err != nil {
		return err
	}
	return e.store.SubmitBatch(ctx, b, key)
}
