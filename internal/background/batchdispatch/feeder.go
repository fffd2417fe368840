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
	gather = 20 * time.Millisecond
	// some is how many batches or executions one query returns.
	some = 100
)

// Store is where batches are. Its methods are safe to repeat, by any number of
// feeders: FeedBatch returns batch.ErrMoved to all but one.
type Store interface {
	Now(ctx context.Context) (time.Time, error)
	DueBatches(ctx context.Context, now time.Time, limit int) ([]batch.Ref, error)
	FeedBatch(ctx context.Context, ref batch.Ref) (batch.Batch, execution.Change, error)
	BatchInFlight(ctx context.Context, ref batch.Ref, limit int) ([]execution.Ref, error)
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// Bell tells of a change. It may fail without harm.
type Bell interface {
	Tell(ctx context.Context, ch execution.Change) error
}

// Feeder may run in any number of processes.
type Feeder struct {
	store    Store
	bell     Bell
	interval time.Duration
	log      *zap.Logger

	wanted *broadcast.Notes[batch.Ref] // batches of which an execution has ended
}

// New returns a feeder that looks for due batches once in every interval.
func New(s Store, b Bell, interval time.Duration, log *zap.Logger) *Feeder {
	return &Feeder{store: s, bell: b, interval: interval, log: log, wanted: broadcast.NewNotes[batch.Ref]()}
}

// Ended makes the feeder look soon at the batch of an execution that has
// ended, if it has one. It never blocks.
func (f *Feeder) Ended(e execution.Execution) {
	if e.BatchID != "" {
		f.wanted.Leave(batch.Ref{Owner: e.Owner, ID: e.BatchID})
	}
}

// Run feeds until ctx ends, through any fault of the store.
func (f *Feeder) Run(ctx context.Context) error {
	return supervise.Keep(ctx, f.log, "feed batches", func(ctx context.Context) error {
		tick := time.NewTicker(f.interval)
		defer tick.Stop()
		for {
			var refs []batch.Ref
			var err error
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				refs, err = f.due(ctx)
			case <-f.wanted.News():
				refs = f.gather(ctx)
			}
			for _, ref := range refs {
				err = errors.Join(err, f.look(ctx, ref))
			}
			if err != nil {
				return err
			}
		}
	})
}

func (f *Feeder) due(ctx context.Context) ([]batch.Ref, error) {
	now, err := f.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	return f.store.DueBatches(ctx, now, some)
}

func (f *Feeder) gather(ctx context.Context) []batch.Ref {
	select {
	case <-ctx.Done():
	case <-time.After(gather):
	}
	return f.wanted.Take()
}

// look feeds a batch once, or cancels what of it is in flight. What was fed is
// looked at again after the others: where executors are faster than feeders there
// is always room for more, and one batch would keep the rest from theirs.
func (f *Feeder) look(ctx context.Context, ref batch.Ref) (err error) {
	defer supervise.Panic(&err)
	b, change, err := f.store.FeedBatch(ctx, ref)
	if errors.Is(err, batch.ErrMoved) {
		return nil // another feeder's, or ended
	}
	if err != nil {
		return err
	}
	if b.CancelRequested && b.FinishedAt == nil {
		return f.cancel(ctx, ref)
	}
	if b.FinishedAt != nil {
		f.log.Info("batch has ended", zap.String("batch", b.ID), zap.String("tenant", b.Owner), zap.Int("inputs", b.Total))
	}
	if len(change.Announce) > 0 {
		failpoint.At(failpoint.Fed)
		f.tell(ctx, change)
		f.wanted.Leave(ref)
	}
	return nil
}

func (f *Feeder) cancel(ctx context.Context, ref batch.Ref) error {
	for ctx.Err() == nil {
		refs, err := f.store.BatchInFlight(ctx, ref, some)
		if err != nil || len(refs) == 0 {
			return err
		}
		for _, one := range refs {
			change, err := f.store.Apply(ctx, one, execution.CancelAsked{})
			if errors.Is(err, execution.ErrTerminal) {
				continue
			}
			if err != nil {
				return err
			}
			f.tell(ctx, change)
			if change.Execution.Status.Terminal() {
				f.Ended(change.Execution)
			}
		}
	}
	return nil
}

// tell may fail: the janitor announces what was not heard.
func (f *Feeder) tell(ctx context.Context, ch execution.Change) {
	if err := f.bell.Tell(ctx, ch); err != nil && ctx.Err() == nil {
		f.log.Warn("could not tell of a change", zap.String("execution", ch.Execution.ID), zap.Error(err))
	}
}
