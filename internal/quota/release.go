package quota

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// releaseConcurrency bounds how many tenants are released at the same time.
	releaseConcurrency = 8
	// releaseTimeout bounds the release of one tenant's executions.
	releaseTimeout = 5 * time.Second
)

// Run releases throttled executions until ctx ends, and continues after every error of the store. It must end after the
// last Apply: no other process knows of capacity that became free at the very end.
func (e *Enforcer) Run(ctx context.Context) error {
	err := supervise.Run(ctx, e.log, "release throttled executions", supervise.When(e.pendingReleases.Ready(), e.releasePending))
	finalCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := e.releasePending(finalCtx); err != nil {
		e.log.Warn("could not release throttled executions at the end; the janitor will", zap.Error(err))
	}
	return err
}

// releasePending releases executions of every tenant that may have capacity for them.
func (e *Enforcer) releasePending(ctx context.Context) error {
	var releases errgroup.Group
	releases.SetLimit(releaseConcurrency)
	for _, tenant := range e.pendingReleases.Drain() {
		releases.Go(func() error {
			err := e.release(ctx, tenant)
			if err != nil {
				e.pendingReleases.Add(tenant) // for the next call, when the store answers
			}
			return err
		})
	}
	return releases.Wait()
}

// release releases the tenant's oldest throttled executions, as many as there is capacity for.
func (e *Enforcer) release(ctx context.Context, tenant string) (err error) {
	defer supervise.RecoverTo(&err) // it runs in a goroutine of its own
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	throttled, err := e.store.OldestThrottled(ctx, tenant, e.limits.Running)
	if err != nil || len(throttled) == 0 {
		return err
	}
	running, err := e.store.CountRunning(ctx, tenant, e.limits.Running)
	if err != nil {
		return err
	}
	for _, ref := range throttled[:min(len(throttled), e.limits.Running-running)] {
		change, err := e.store.Apply(ctx, ref, execution.Released{})
		if store.IsRejection(err) {
			continue // another process was faster
		}
		if err != nil {
			return err
		}
		if err := e.publisher.Publish(ctx, change); err != nil {
			e.log.Warn("could not publish a released execution; the janitor will",
				zap.String("execution", ref.ID), zap.String("tenant", ref.Tenant), zap.Error(err))
		}
	}
	return nil
}
