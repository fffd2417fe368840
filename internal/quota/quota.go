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
type BudgetSpentError struct {
	LimitUSD float64
	Rest     time.Duration // of the day
}

func (e *BudgetSpentError) Error() string {
	return fmt.Sprintf("the tenant has spent the %g USD of a day", e.LimitUSD)
}

// Bell tells of a change. It may fail without harm.
type Bell interface {
	Tell(ctx context.Context, ch execution.Change) error
}

// Store is the store as tenants may use it: its submissions and claims are held
// against the limits, all else is the store's. It is safe for concurrent use.
type Store struct {
	*store.Store
	limits  Limits
	bell    Bell
	log     *zap.Logger
	tallies *lru.Cache[string, *tally]
	freed   *broadcast.Notes[string] // tenants of which a place may have become free
}

// remembered is of how many tenants a process knows the counts.
const remembered = 10_000

// New returns a store under limits. Run has to run where Apply is called.
func New(s *store.Store, limits Limits, bell Bell, log *zap.Logger) *Store {
	tallies, err := lru.New[string, *tally](remembered)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	return &Store{Store: s, limits: limits, bell: bell, log: log, tallies: tallies, freed: broadcast.NewNotes[string]()}
}

// SubmitRun is the store's, and returns a QueueFullError or BudgetSpentError besides.
func (s *Store) SubmitRun(ctx context.Context, r store.Run) (execution.Change, error) {
	if err := s.admit(ctx, r.Owner, execution.Interactive); err != nil {
		return execution.Change{}, err
	}
	return s.Store.SubmitRun(ctx, r)
}

// SubmitTurn is the store's, and returns a QueueFullError or BudgetSpentError besides.
func (s *Store) SubmitTurn(ctx context.Context, t store.Turn) (execution.Change, error) {
	if err := s.admit(ctx, t.Owner, execution.Interactive); err != nil {
		return execution.Change{}, err
	}
	return s.Store.SubmitTurn(ctx, t)
}

// Retry is the store's, and returns a QueueFullError or BudgetSpentError besides.
func (s *Store) Retry(ctx context.Context, ref execution.Ref) (execution.Change, error) {
	if err := s.admit(ctx, ref.Owner, execution.Interactive); err != nil {
		return execution.Change{}, err
	}
	return s.Store.Retry(ctx, ref)
}

// SubmitBatch is the store's, and returns a BudgetSpentError besides.
func (s *Store) SubmitBatch(ctx context.Context, b *batch.Batch) error {
	if err := s.admit(ctx, b.Owner, execution.Batch); err != nil {
		return err
	}
	return s.Store.SubmitBatch(ctx, b)
}
