package janitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

const (
	// sweepPage is how many due executions one query returns; between two of them the lease is renewed.
	sweepPage = 100
	// hands is how many of them are looked at together.
	hands = 16
	// sweepTimeout bounds a page, so that a store that does not answer is noticed.
	sweepTimeout = 20 * time.Second
)

// sweep looks at everything that is due, for as long as this janitor leads.
// One execution that cannot be put right does not keep the others from it.
func (j *Janitor) sweep(ctx context.Context) error {
	failed := map[execution.Ref]error{}
	for {
		more, err := j.sweepOnce(ctx, failed)
		if err != nil {
			return err
		}
		if !more {
			return errors.Join(slices.Collect(maps.Values(failed))...)
		}
	}
}

// sweepOnce looks at what is due and has not failed before, adds what fails
// now, and reports whether there may be more.
func (j *Janitor) sweepOnce(ctx context.Context, failed map[execution.Ref]error) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	leads, now, err := j.store.Lead(ctx, j.name, Lease)
	if err != nil || !leads {
		return false, err
	}
	// What failed is still due, and stands before what is not looked at yet.
	due, err := j.store.Due(ctx, now, sweepPage+len(failed))
	if err != nil {
		return false, err
	}
	due = slices.DeleteFunc(due, func(ref execution.Ref) bool { return failed[ref] != nil })
	var mu sync.Mutex // of failed
	var looks errgroup.Group
	looks.SetLimit(hands)
	for _, ref := range due {
		looks.Go(func() error {
			if err := j.look(ctx, ref); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[ref] = fmt.Errorf("execution %s: %w", ref.ID, err)
			}
			return nil
		})
	}
	return len(due) > 0, looks.Wait()
}

func (j *Janitor) look(ctx context.Context, ref execution.Ref) (err error) {
	defer supervise.Panic(&err)
	change, err := j.store.Apply(ctx, ref, execution.FellDue{})
	if errors.Is(err, execution.ErrNotDue) || errors.Is(err, execution.ErrTerminal) {
		return nil // somebody else was faster
	}
	if err != nil {
		return err
	}
	e := &change.Execution
	metrics.Repairs.WithLabelValues(string(e.Status)).Inc()
	j.log.Info("put right", zap.String("execution", e.ID), zap.String("tenant", e.Owner),
		zap.String("status", string(e.Status)), zap.Int("spent", e.Spent))
	failpoint.At(failpoint.Swept)
	return j.bell.Tell(ctx, change)
}
