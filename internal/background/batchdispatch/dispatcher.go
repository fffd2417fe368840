// Package feeder gives the inputs of batches their executions, a window at a
// time: ending one makes room for the next. So however large a batch is, the
// queue holds only its window, and batches of several tenants take turns.
package batchdispatch

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Interval between two looks at what is due, which finds the batches that
// there is no note of: new ones, cancelled ones, those of a feeder that died.
const Interval = time.Second

const (
	// gather is how long notes are gathered: many executions that end together make one look.
	debounceInterval = 20 * time.Millisecond
	// some is how many batches or executions one query returns.
	pageSize = 100
)

// Store is where batches are. Its methods are safe to repeat, by any number of
// feeders: FeedBatch returns batch.ErrMoved to all but one.
type Store interface {
	Now(ctx context.Context) (time.Time, error)
	DueBatches(ctx context.Context, now time.Time, limit int) ([]batch.Ref, error)
	DispatchBatch(ctx context.Context, ref batch.Ref) (batch.Batch, execution.Change, error)
	BatchInFlight(ctx context.Context, ref batch.Ref, limit int) ([]execution.Ref, error)
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// Bell tells of a change. It may fail without harm.
type Publisher interface {
	Publish(ctx context.Context, ch execution.Change) error
}

// Feeder may run in any number of processes.
type Dispatcher struct {
	store     Store
	publisher Publisher
	interval  time.Duration
	log       *zap.Logger

	pending *broadcast.PendingSet[batch.Ref] // batches of which an execution has ended
}

// New returns a feeder that looks for due batches once in every interval.
func New(s Store, p Publisher, interval time.Duration, log *zap.Logger) *Dispatcher {
	return &Dispatcher{store: s, publisher: p, interval: interval, log: log, pending: broadcast.NewPendingSet[batch.Ref]()}
}

// Ended makes the feeder look soon at the batch of an execution that has
// ended, if it has one. It never blocks.
func (f *Dispatcher) OnExecutionFinished(e execution.Execution) {
	if e.BatchID != "" {
		f.pending.Add(batch.Ref{Tenant: e.Tenant, ID: e.BatchID})
	}
}

// Run feeds until ctx ends, through any fault of the store.
func (f *Dispatcher) Run(ctx context.Context) error {
	return supervise.Run(ctx, f.log, "feed batches", func(ctx context.Context) error {
		tick := time.NewTicker(f.interval)
		defer tick.Stop()
		for {
			var refs []batch.Ref
			var err error
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				refs, err = f.listDue(ctx)
			case <-f.pending.Ready():
				refs = f.drainPending(ctx)
			}
			for _, ref := range refs {
				err = errors.Join(err, f.dispatch(ctx, ref))
			}
			if err != nil {
				return err
			}
		}
	})
}

func (f *Dispatcher) listDue(ctx context.Context) ([]batch.Ref, error) {
	now, err := f.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	return f.store.DueBatches(ctx, now, pageSize)
}

func (f *Dispatcher) drainPending(ctx context.Context) []batch.Ref {
	select {
	case <-ctx.Done():
	case <-time.After(debounceInterval):
	}
	return f.pending.Drain()
}

// look feeds a batch once, or cancels what of it is in flight. What was fed is
// looked at again after the others: where executors are faster than feeders there
// is always room for more, and one batch would keep the rest from theirs.
func (f *Dispatcher) dispatch(ctx context.Context, ref batch.Ref) (err error) {
	defer supervise.RecoverTo(&err)
	b, change, err := f.store.DispatchBatch(ctx, ref)
	if errors.Is(err, batch.ErrConflict) {
		return nil // another feeder's, or ended
	}
	if err != nil {
		return err
	}
	if b.CancelRequested && b.FinishedAt == nil {
		return f.cancelInFlight(ctx, ref)
	}
	if b.FinishedAt != nil {
		f.log.Info("batch has ended", zap.String("batch", b.ID), zap.String("tenant", b.Tenant), zap.Int("inputs", b.Total))
	}
	if len(change.Notify) > 0 {
		failpoint.Hit(failpoint.BatchDispatched)
		f.publish(ctx, change)
		f.pending.Add(ref)
	}
	return nil
}

func (f *Dispatcher) cancelInFlight(ctx context.Context, ref batch.Ref) error {
	for ctx.Err() == nil {
		refs, err := f.store.BatchInFlight(ctx, ref, pageSize)
		if err != nil || len(refs) == 0 {
			return err
		}
		for _, executionRef := range refs {
			change, err := f.store.Apply(ctx, executionRef, execution.CancelRequested{})
			if errors.Is(err, execution.ErrTerminal) {
				continue
			}
			if err != nil {
				return err
			}
			f.publish(ctx, change)
			if change.Execution.Status.Terminal() {
				f.OnExecutionFinished(change.Execution)
			}
		}
	}
	return nil
}

// tell may fail: the janitor announces what was not heard.
func (f *Dispatcher) publish(ctx context.Context, ch execution.Change) {
	if err := f.publisher.Publish(ctx, ch); err != nil && ctx.Err() == nil {
		f.log.Warn("could not tell of a change", zap.String("execution", ch.Execution.ID), zap.Error(err))
	}
}
