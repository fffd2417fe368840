// Package janitor finds what is stuck and puts it right: what was queued but
// never heard, and what was leased by an executor that is gone. It needs to
// know only one thing of an execution, that it is due.
package janitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/crash"
	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Interval between two sweeps. With execution's own times it makes the bounds
// that docs/architecture.md states.
const Interval = 5 * time.Second

// batch is how many due executions one query returns.
const batch = 100

// Store is where executions are. Apply is safe to repeat, by any number of janitors.
type Store interface {
	Now(ctx context.Context) (time.Time, error)
	Due(ctx context.Context, now time.Time, limit int) ([]execution.Ref, error)
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// Bell tells of a change.
type Bell interface {
	Tell(ctx context.Context, ch execution.Change) error
}

// Janitor may run in any number of processes: each step is a transaction that
// only one of them carries through.
type Janitor struct {
	store    Store
	bell     Bell
	interval time.Duration
	log      *zap.Logger
}

// New returns a janitor that sweeps once in every interval.
func New(s Store, b Bell, interval time.Duration, log *zap.Logger) *Janitor {
	return &Janitor{store: s, bell: b, interval: interval, log: log}
}

// Run sweeps until ctx ends, through any fault of the store.
func (j *Janitor) Run(ctx context.Context) error {
	return supervise.Keep(ctx, j.log, "sweep", func(ctx context.Context) error {
		tick := time.NewTicker(j.interval)
		defer tick.Stop()
		for {
			if err := j.sweep(ctx); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

// sweep looks at everything that is due. One execution that cannot be put
// right does not keep the others from it.
func (j *Janitor) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	now, err := j.store.Now(ctx)
	if err != nil {
		return err
	}
	failed := map[execution.Ref]error{}
	for {
		// What failed is still due, and stands before what is not looked at yet.
		due, err := j.store.Due(ctx, now, batch+len(failed))
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(due, func(ref execution.Ref) bool { return failed[ref] != nil })
		if len(fresh) == 0 {
			return errors.Join(slices.Collect(maps.Values(failed))...)
		}
		for _, ref := range fresh {
			if err := j.look(ctx, ref); err != nil {
				failed[ref] = fmt.Errorf("execution %s: %w", ref.ID, err)
			}
		}
	}
}

func (j *Janitor) look(ctx context.Context, ref execution.Ref) error {
	change, err := j.store.Apply(ctx, ref, execution.FellDue{})
	if errors.Is(err, execution.ErrNotDue) || errors.Is(err, execution.ErrTerminal) {
		return nil // somebody else was faster
	}
	if err != nil {
		return err
	}
	e := &change.Execution
	j.log.Info("put right", zap.String("execution", e.ID), zap.String("tenant", e.Owner),
		zap.String("status", string(e.Status)), zap.Int("spent", e.Spent))
	crash.At(crash.Swept)
	return j.bell.Tell(ctx, change)
}
