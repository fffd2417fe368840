package janitor

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

const (
	markInterval = time.Hour
	// unmarkedAge is the age from which a queued execution of a lane that is not marked should not be there: the
	// notification of a published one was repeated meanwhile.
	unmarkedAge = 2 * time.Minute
)

// WaitingStore finds tenants whose executions wait, and tells their dispatchers. Its methods are safe to repeat.
type WaitingStore interface {
	NextQueuedTenant(ctx context.Context, lane execution.Lane, after string) (string, error)
	Tenant(ctx context.Context, name string) (store.Tenant, error)
	Queued(ctx context.Context, tenant string, from time.Time, after string, limit int) (store.QueuedPage, error)
	ReadFleet(ctx context.Context) (store.FleetSnapshot, error)
	MarkWaiting(ctx context.Context, name string, lane execution.Lane, process string) error
}

// markWaiting looks once at every tenant that has queued executions. Its lane is to be marked as waiting if the oldest
// one has not begun for long: a process that was paused between its read of the tenant and its write may have left it
// to a dispatcher that does not look any more. In the lane of batches this cannot happen: a batch and its mark are
// written at once, and its executions are published by the dispatcher that creates them.
//
// It reads two documents for each tenant that has queued executions, and up to two more if its lane is not marked. A
// tenant that cannot be read or marked is left for the next time.
func (j *Janitor) markWaiting(ctx context.Context) error {
	name := ""
	for {
		var err error
		if name, err = j.nextQueuedTenant(ctx, name); err != nil || name == "" {
			return err
		}
		if err := j.markIfWaiting(ctx, name); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			j.config.Log.Warn("could not look whether a tenant waits", zap.String("tenant", name), zap.Error(err))
		}
	}
}

func (j *Janitor) nextQueuedTenant(ctx context.Context, after string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return j.config.Store.NextQueuedTenant(ctx, execution.LaneInteractive, after)
}

func (j *Janitor) markIfWaiting(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	t, err := j.config.Store.Tenant(ctx, name)
	if err != nil || t.Backlog.Interactive != tenant.LaneIdle || t.Paused { // the end of a pause marks it
		return err
	}
	oldest, err := j.config.Store.Queued(ctx, name, time.Time{}, "", 1)
	if err != nil || oldest.Now.Sub(oldest.From) < unmarkedAge { // all are younger, or have begun meanwhile
		return err
	}
	f, err := j.config.Store.ReadFleet(ctx)
	if err != nil {
		return err
	}
	j.config.Log.Info("the executions of a tenant wait, and its lane was not marked", zap.String("tenant", name))
	return j.config.Store.MarkWaiting(ctx, name, execution.LaneInteractive, f.Owner(name))
}
