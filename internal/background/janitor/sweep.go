package janitor

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/store"
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

// sweep repairs all executions that are due, for as long as this janitor leads. An execution that cannot be repaired is
// skipped, and tried again after a back-off.
func (j *Janitor) sweep(ctx context.Context) error {
	for scan := new(store.Scan); ; {
		if err := j.sweepPage(ctx, scan); err != nil || scan.AtFront() {
			return err
		}
	}
}

// sweepPage repairs the next page of due executions. If this janitor does not lead, there is none.
func (j *Janitor) sweepPage(ctx context.Context, scan *store.Scan) error {
	ctx, cancel := context.WithTimeout(ctx, sweepPageTimeout)
	defer cancel()
	leads, now, err := j.config.Store.AcquireLeadership(ctx, j.name, Lease)
	if err != nil || !leads {
		*scan = store.Scan{}
		return err
	}
	due, err := j.config.Store.DueExecutions(ctx, now, scan, sweepPageSize)
	if err != nil {
		return err
	}
	var repairs errgroup.Group
	repairs.SetLimit(sweepConcurrency)
	for _, ref := range due {
		repairs.Go(func() error {
			_ = j.failedRepairs.Do(ctx, ref, func(ctx context.Context) error { return j.repair(ctx, ref) })
			return nil
		})
	}
	_ = repairs.Wait() // always nil
	return ctx.Err()
}

func (j *Janitor) repair(ctx context.Context, ref execution.Ref) error {
	applyCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	change, err := j.config.Executions.Apply(applyCtx, ref, execution.Overdue{})
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
