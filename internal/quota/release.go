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
	e.pendingReleases.Run(ctx, releaseConcurrency, e.release)
	finalCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := e.releasePending(finalCtx); err != nil {
		e.log.Warn("could not release throttled executions at the end; the janitor will", zap.Error(err))
	}
	return nil
}

// releasePending releases executions of every tenant that may have capacity for them.
func (e *Enforcer) releasePending(ctx context.Context) error {
	var releases errgroup.Group
	releases.SetLimit(releaseConcurrency)
	for _, tenant := range e.pendingReleases.Drain() {
		releases.Go(func() (err error) {
			defer supervise.RecoverTo(&err)
			if err = e.release(ctx, tenant); err != nil {
				e.pendingReleases.Add(tenant)
			}
			return err
		})
	}
	return releases.Wait()
}

// release releases the tenant's oldest throttled executions, as many as there is capacity for. It passes over one that
// cannot be released.
func (e *Enforcer) release(ctx context.Context, tenant string) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	scan := new(store.Scan)
	throttled, err := e.store.OldestThrottled(ctx, tenant, scan, e.limits.Running)
	if err != nil || len(throttled) == 0 {
		return err
	}
	running, err := e.store.CountRunning(ctx, tenant, e.limits.Running)
	if err != nil {
		return err
	}
	for free := e.limits.Running - running; free > 0; {
		released, err := e.releaseOldest(ctx, throttled, free)
		free -= released
		if err != nil || free == 0 || scan.AtFront() {
			return err
		}
		if throttled, err = e.store.OldestThrottled(ctx, tenant, scan, e.limits.Running); err != nil {
			return err
		}
	}
	return nil
}

// releaseOldest releases the first n executions that can be released.
func (e *Enforcer) releaseOldest(ctx context.Context, throttled []execution.Ref, n int) (released int, err error) {
	for _, ref := range throttled {
		if released == n {
			break
		}
		err := e.failedReleases.Do(ctx, ref, func(ctx context.Context) error { return e.releaseExecution(ctx, ref) })
		if store.IsUnavailable(err) {
			return released, err
		}
		if err == nil {
			released++
		}
	}
	return released, ctx.Err()
}

func (e *Enforcer) releaseExecution(ctx context.Context, ref execution.Ref) error {
	change, err := e.store.Apply(ctx, ref, execution.Released{})
	if store.IsRejection(err) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	if err := e.publisher.Publish(ctx, change); err != nil {
		e.log.Warn("could not publish a released execution; the janitor will",
			zap.String("execution", ref.ID), zap.String("tenant", ref.Tenant), zap.Error(err))
	}
	return nil
}
