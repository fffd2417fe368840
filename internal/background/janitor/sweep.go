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
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

const (
	// sweepPageSize is how many due executions one query returns. The janitor renews its lease between two pages.
	sweepPageSize = 100
	// sweepConcurrency bounds how many executions are repaired at the same time.
	sweepConcurrency = 16
	// sweepPageTimeout bounds a page, so that a store that does not answer is noticed.
	sweepPageTimeout = 20 * time.Second
)

// sweep repairs all executions that are due, for as long as this janitor leads. An execution that cannot be repaired
// does not stop the others.
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

// sweepPage repairs a page of due executions, without those that have failed before. It adds the ones that fail now,
// and reports whether there may be more.
func (j *Janitor) sweepPage(ctx context.Context, failed map[execution.Ref]error) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepPageTimeout)
	defer cancel()
	leads, now, err := j.config.Store.AcquireLeadership(ctx, j.name, Lease)
	if err != nil || !leads {
		return false, err
	}
	// Failed executions are still due, and come before the ones that were not attempted.
	due, err := j.config.Store.DueExecutions(ctx, now, sweepPageSize+len(failed))
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
	change, err := j.config.Executions.Apply(ctx, ref, execution.Overdue{})
	if store.IsRejection(err) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	e := &change.Execution
	metrics.JanitorRepairs.WithLabelValues(string(e.Status)).Inc()
	j.config.Log.Info("repaired overdue execution", zap.String("execution", e.ID), zap.String("tenant", e.Tenant),
		zap.String("status", string(e.Status)), zap.Int("failedAttempts", e.FailedAttempts))
	failpoint.Hit(failpoint.Swept)
	if err := j.config.Publisher.Publish(ctx, change); err != nil {
		j.config.Log.Warn("could not publish the notifications of a change", zap.String("execution", e.ID), zap.Error(err))
	}
	return nil
}
