package quota

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// hands is of how many tenants executions are released at once.
	releaseConcurrency = 8
	// callTimeout bounds the release of one tenant's executions.
	releaseTimeout = 5 * time.Second
)

// Run releases what was held until ctx ends, through any fault of the store. It
// has to outlast the last Apply: of a place that became free at the very end
// nobody else knows.
func (s *Enforcer) Run(ctx context.Context) error {
	err := supervise.Run(ctx, s.log, "release held executions", func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-s.pendingReleases.Ready():
			}
			if err := s.releasePending(ctx); err != nil {
				return err
			}
		}
	})
	finalCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := s.releasePending(finalCtx); err != nil {
		s.log.Warn("could not release at the end what is held; the janitor will", zap.Error(err))
	}
	return err
}

// look releases what it can of every tenant of which a place may have become free.
func (s *Enforcer) releasePending(ctx context.Context) error {
	var releases errgroup.Group
	releases.SetLimit(releaseConcurrency)
	for _, tenant := range s.pendingReleases.Drain() {
		releases.Go(func() error {
			err := s.release(ctx, tenant)
			if err != nil {
				s.pendingReleases.Add(tenant) // for when the store is back
			}
			return err
		})
	}
	return releases.Wait()
}

// release announces as many of the tenant's oldest held executions as there is room for.
func (s *Enforcer) release(ctx context.Context, tenant string) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	throttled, err := s.OldestThrottled(ctx, tenant, s.limits.Running)
	if err != nil || len(throttled) == 0 {
		return err
	}
	running, err := s.CountRunning(ctx, tenant, s.limits.Running)
	if err != nil {
		return err
	}
	for _, ref := range throttled[:min(len(throttled), s.limits.Running-running)] {
		change, err := s.Store.Apply(ctx, ref, execution.Released{})
		var notFound *store.NotFoundError
		if errors.Is(err, execution.ErrNotDue) || errors.Is(err, execution.ErrTerminal) || errors.As(err, &notFound) {
			continue // somebody else was faster
		}
		if err != nil {
			return err
		}
		if err := s.publisher.Publish(ctx, change); err != nil {
			s.log.Warn("could not announce what was released; the janitor will",
				zap.String("execution", ref.ID), zap.String("tenant", ref.Tenant), zap.Error(err))
		}
	}
	return nil
}
