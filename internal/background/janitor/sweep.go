package janitor

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

const (
	// sweepPageSize is how many due executions one query returns.
	sweepPageSize = 100
	// sweepPageTimeout bounds a page, so that a store that does not answer is noticed.
	sweepPageTimeout = 20 * time.Second
)

// runSweeps sweeps whenever an execution is due that it knows of, and at least every Config.Interval, until ctx ends or
// a sweep fails.
func (j *Janitor) runSweeps(ctx context.Context) error {
	for {
		wait, err := j.sweep(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// sweep repairs all executions that are due, and returns when to sweep again. An execution that cannot be repaired is
// skipped, and tried again after a back-off. If nothing is due, it reads one document.
func (j *Janitor) sweep(ctx context.Context) (wait time.Duration, err error) {
	due, now, err := j.nextDue(ctx)
	if err != nil {
		return 0, err
	}
	if due.IsZero() {
		return j.config.Interval, nil
	}
	shortest := min(minInterval, j.config.Interval)
	if due.After(now) {
		return min(max(due.Sub(now), shortest), j.config.Interval), nil
	}
	for scan := new(store.Scan); ; {
		if err := j.sweepPage(ctx, now, scan); err != nil || scan.AtFront() {
			return shortest, err
		}
	}
}

func (j *Janitor) nextDue(ctx context.Context) (due, now time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return j.config.Store.NextDue(ctx)
}

// sweepPage repairs the next page of the executions that are due at now.
func (j *Janitor) sweepPage(ctx context.Context, now time.Time, scan *store.Scan) error {
	ctx, cancel := context.WithTimeout(ctx, sweepPageTimeout)
	defer cancel()
	due, err := j.config.Store.DueExecutions(ctx, now, scan, sweepPageSize)
	if err != nil {
		return err
	}
	if len(due) > 0 {
		j.repairAll(ctx, due, execution.Overdue{Runtimes: j.config.StartableRuntimes(ctx)})
	}
	return ctx.Err()
}

func (j *Janitor) repair(ctx context.Context, ref execution.Ref, ev execution.Event) error {
	applyCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	change, err := j.config.Executions.Apply(applyCtx, ref, ev)
	if store.IsRejection(err) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	e := &change.Execution
	metrics.JanitorRepairs.WithLabelValues(string(e.Status)).Inc()
	j.config.Log.Info("repaired execution", zap.String("execution", e.ID), zap.String("tenant", e.Tenant),
		zap.String("status", string(e.Status)), zap.Int("failedAttempts", e.FailedAttempts))
	failpoint.Hit(failpoint.Swept)
	if err := j.config.Publisher.Publish(ctx, change); err != nil {
		j.config.Log.Warn("could not publish the notifications of a change", zap.String("execution", e.ID), zap.Error(err))
	}
	if e.Status.Terminal() {
		j.config.OnFinished(*e)
	}
	return nil
}
