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
	sweepPageSize = 100
	// hands is how many of them are looked at together.
	sweepConcurrency = 16
	// sweepTimeout bounds a page, so that a store that does not answer is noticed.
	sweepPageTimeout = 20 * time.Second
)

// sweep looks at everything that is due, for as long as this janitor leads.
// One execution that cannot be put right does not keep the others from it.
func (j *Janitor) sweep(ctx context.Context) error {
	failed := map[execution.Ref]error{}
	for {
		more, err := j.sweepPage(ctx, failed)
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
func (j *Janitor) sweepPage(ctx context.Context, failed map[execution.Ref]error) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepPageTimeout)
	defer cancel()
	leads, now, err := j.store.AcquireLeadership(ctx, j.name, Lease)
	if err != nil || !leads {
		return false, err
	}
	// What failed is still due, and stands before what is not looked at yet.
	due, err := j.store.DueExecutions(ctx, now, sweepPageSize+len(failed))
	if err != nil {
		return false, err
	}
	due = slices.DeleteFunc(due, func(ref execution.Ref) bool { return failed[ref] != nil })
	var mu sync.Mutex // of failed
	var sweeps errgroup.Group
	sweeps.SetLimit(sweepConcurrency)
	for _, ref := range due {
		sweeps.Go(func() error {
			if err := j.sweepExecution(ctx, ref); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[ref] = fmt.Errorf("execution %s: %w", ref.ID, err)
			}
			return nil
		})
	}
	return len(due) > 0, sweeps.Wait()
}

func (j *Janitor) sweepExecution(ctx context.Context, ref execution.Ref) (err error) {
	defer supervise.RecoverTo(&err)
	change, err := j.store.Apply(ctx, ref, execution.Expired{})
	if errors.Is(err, execution.ErrNotDue) || errors.Is(err, execution.ErrTerminal) {
		return nil // somebody else was faster
	}
	if err != nil {
		return err
	}
	e := &change.Execution
	metrics.JanitorRepairs.WithLabelValues(string(e.Status)).Inc()
	j.log.Info("put right", zap.String("execution", e.ID), zap.String("tenant", e.Tenant),
		zap.String("status", string(e.Status)), zap.Int("failedAttempts", e.FailedAttempts))
	failpoint.Hit(failpoint.Swept)
	return j.publisher.Publish(ctx, change)
}
