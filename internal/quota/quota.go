// Package quota decides about new executions: whether a tenant may submit them, and who publishes them.
//
// Submissions go through an Enforcer, and no other calls:
//
//   - SubmitRun, SubmitTurn, Retry: rejected while the queue of the tenant is full or its daily budget is used up.
//   - SubmitBatch: rejected while the daily budget is used up. Inputs of batches do not count as queued.
//   - AdmitFile: asked before a file is uploaded.
//
// A new execution is published by this process, or waits for the dispatcher of its tenant (placement.go). The
// dispatcher enforces how many executions run, and the daily budget, by what it publishes. See store.Redrive for the
// one way in which an operator creates executions past the limits.
//
// The limits are soft. No document counts a tenant's executions, because each of them would have to write to it; they
// are counted by queries instead. One process admits no more than the queue limit (Admissions), and publishes itself no
// more than its part of the running limit. Processes that count at the same moment can exceed the queue limit together,
// by what the others accept within the second for which a count is used, and what they are writing then.
package quota

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/usage"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Limits apply to each tenant that has none of its own; a zero means no limit.
type Limits struct {
	Queued    int     // queued executions, without those of batches
	Running   int     // running executions
	DailyUSD  float64 // cost of the executions that end within a day of UTC
	Files     int     // uploaded files
	FileBytes int64   // their size together
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

// FileStorageFullError rejects an upload because the tenant has as many files, or as large ones, as it may have.
type FileStorageFullError struct {
	Files int
	Bytes int64
	Limits
}

func (e *FileStorageFullError) Error() string {
	return fmt.Sprintf("The tenant stores %d files of %d bytes together; at most %d files and %d bytes are allowed.",
		e.Files, e.Bytes, e.Limits.Files, e.Limits.FileBytes)
}

// Store stores what the Enforcer admits, and counts what is stored. Its methods are safe for concurrent use.
type Store interface {
	SubmitRun(ctx context.Context, r store.RunRequest) (execution.Change, error)
	SubmitTurn(ctx context.Context, t store.TurnRequest) (execution.Change, error)
	Retry(ctx context.Context, ref execution.Ref, key *store.IdempotencyKey, place store.Placer) (execution.Change, error)
	SubmitBatch(ctx context.Context, b *batch.Batch, key *store.IdempotencyKey) error
	Tenant(ctx context.Context, name string) (store.Tenant, error)
	MarkWaiting(ctx context.Context, tenant string, lane execution.Lane, process string) error
	counter
}

// counter tells what a tenant uses. A count stops at limit.
type counter interface {
	CountQueued(ctx context.Context, tenant string, limit int) (int, error)
	CountUnfinished(ctx context.Context, tenant string, limit int) (int, error)
	SpentToday(ctx context.Context, tenant string) (usage.Spent, error)
	FileUsage(ctx context.Context, tenant string) (count int, bytes int64, err error)
}

// Config has the parts and settings of an Enforcer. All fields are required.
type Config struct {
	Store  Store
	Limits Limits
	Fleet  FleetView
	Log    *zap.Logger
}

// Enforcer does what its store does, within the limits. It is safe for concurrent use.
type Enforcer struct {
	store      Store
	limits     Limits
	fleet      FleetView
	log        *zap.Logger
	admissions *Admissions
	usages     *lru.Cache[string, *tenantUsage]
	direct     directCounts
	recounts   *supervise.WorkQueue[string]  // tenants whose unfinished executions are to be counted
	waiting    *supervise.WorkQueue[waiting] // lanes whose dispatcher must learn that executions wait
}

// waiting is a lane of a tenant.
type waiting struct {
	tenant string
	lane   execution.Lane
}

// usageCacheSize is the number of tenants whose spending a process remembers.
const usageCacheSize = 10_000

// New returns an Enforcer over a store. Its process must also call Run.
func New(c Config) *Enforcer {
	usages, err := lru.New[string, *tenantUsage](usageCacheSize)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	e := &Enforcer{
		store: c.Store, limits: c.Limits, fleet: c.Fleet, log: c.Log, admissions: NewAdmissions(c.Store), usages: usages,
		recounts: supervise.NewWorkQueue(supervise.NewBackoffs[string](supervise.CountUnfinished, c.Log, store.IsUnavailable), 0),
		waiting:  supervise.NewWorkQueue(supervise.NewBackoffs[waiting](supervise.WakeDispatchers, c.Log, store.IsUnavailable), 0),
	}
	e.direct = directCounts{recount: e.recounts.Add, counts: map[string]*directCount{}}
	return e
}

// Run counts, and wakes dispatchers, until ctx ends. It must end after the last submission, because it then wakes the
// dispatchers that are left.
func (e *Enforcer) Run(ctx context.Context) error {
	var loops errgroup.Group
	loops.Go(func() error {
		e.recounts.Run(ctx, placementConcurrency, e.count)
		return nil
	})
	e.waiting.Run(ctx, placementConcurrency, e.wake)
	finalCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), placementTimeout)
	defer cancel()
	for _, w := range e.waiting.Drain() {
		if err := e.wake(finalCtx, w); err != nil {
			e.log.Warn("could not wake a dispatcher at the end; the janitor publishes the executions", zap.String("tenant", w.tenant), zap.Error(err))
		}
	}
	return loops.Wait()
}

// SubmitRun stores a run, or returns a QueueFullError or a DailyBudgetExceededError.
func (e *Enforcer) SubmitRun(ctx context.Context, r store.RunRequest) (execution.Change, error) {
	return e.submit(ctx, r.Tenant, func(place store.Placer) (execution.Change, error) {
		r.Place = place
		return e.store.SubmitRun(ctx, r)
	})
}

// SubmitTurn stores a turn of a conversation, or returns a QueueFullError or a DailyBudgetExceededError.
func (e *Enforcer) SubmitTurn(ctx context.Context, t store.TurnRequest) (execution.Change, error) {
	return e.submit(ctx, t.Tenant, func(place store.Placer) (execution.Change, error) {
		t.Place = place
		return e.store.SubmitTurn(ctx, t)
	})
}

// Retry stores a new execution of the same task, or returns a QueueFullError or a DailyBudgetExceededError.
func (e *Enforcer) Retry(ctx context.Context, ref execution.Ref, key *store.IdempotencyKey) (execution.Change, error) {
	return e.submit(ctx, ref.Tenant, func(place store.Placer) (execution.Change, error) {
		return e.store.Retry(ctx, ref, key, place)
	})
}

// submit makes the write of one execution, which calls the Placer.
func (e *Enforcer) submit(ctx context.Context, name string, write func(store.Placer) (execution.Change, error)) (ch execution.Change, err error) {
	s := e.begin(ctx, name)
	defer func() { s.end(ch, err) }() // also after a panic, whose write may have been committed
	return write(s.place)
}

// SubmitBatch stores a batch, or returns a DailyBudgetExceededError. Its dispatcher gives the inputs their executions.
func (e *Enforcer) SubmitBatch(ctx context.Context, b *batch.Batch, key *store.IdempotencyKey) error {
	t, err := e.store.Tenant(ctx, b.Tenant)
	if err == nil {
		err = e.checkBudget(ctx, b.Tenant, &t.Tenant)
	}
	if err != nil {
		return err
	}
	if err = e.store.SubmitBatch(ctx, b, key); err == nil {
		e.Wake(b.Tenant, execution.LaneBatch)
	}
	return err
}

// AdmitFile returns a FileStorageFullError if a file of this size does not fit into the storage of its tenant. Uploads
// at the same time do not count each other.
func (e *Enforcer) AdmitFile(ctx context.Context, tenant string, size int64) error {
	if e.limits.Files == 0 && e.limits.FileBytes == 0 {
		return nil
	}
	count, bytes, err := e.store.FileUsage(ctx, tenant)
	if err != nil {
		return err
	}
	if e.limits.Files > 0 && count >= e.limits.Files || e.limits.FileBytes > 0 && bytes+size > e.limits.FileBytes {
		return &FileStorageFullError{Files: count, Bytes: bytes, Limits: e.limits}
	}
	return nil
}

// Wake tells the dispatcher of a tenant, soon, that something has changed in a lane.
func (e *Enforcer) Wake(name string, lane execution.Lane) {
	e.waiting.Add(waiting{tenant: name, lane: lane})
}
