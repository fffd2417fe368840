package docker

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// warmInterval is the time between two maintenances of the pool.
	warmInterval = 10 * time.Second
	// refillDelay is the time from a job's start to the start of the next warm container. The start uses all CPUs, so
	// it waits until the agent has started, or until a shorter job has ended.
	refillDelay = 250 * time.Millisecond
)

// RunWarmPool fills and maintains the pool until ctx ends. Then it closes the pool, and a job that still
// arrives gets a new container. It returns nil.
func (d *Driver) RunWarmPool(ctx context.Context) error {
	defer d.drainPool(ctx)
	return supervise.Run(ctx, d.log, "maintain the warm pool", supervise.Every(warmInterval, func(ctx context.Context) error {
		d.maintainPool(ctx, time.Now())
		return nil
	}))
}

// maintainPool removes the containers that are too old or not needed, and starts the missing ones.
func (d *Driver) maintainPool(ctx context.Context, now time.Time) {
	for _, c := range append(d.pool.evict(now), d.pool.evictDead((*sandboxContainer).isWaiting)...) {
		d.discard(ctx, c)
	}
	for _, spec := range d.pool.specs() {
		d.refill(ctx, spec, now)
	}
}

func (d *Driver) drainPool(ctx context.Context) {
	for _, c := range d.pool.close() {
		d.discard(ctx, c)
	}
}

// refillAfterJob refills the pool for a job that arrived: after refillDelay, or when the job has ended.
func (d *Driver) refillAfterJob(ctx context.Context, spec containerSpec, done <-chan struct{}) {
	delay := time.NewTimer(refillDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-done:
	}
	d.refill(ctx, spec, time.Now())
}

// refill starts the missing containers of a spec in the background. The end of ctx does not stop it, because the
// containers are for later jobs.
func (d *Driver) refill(ctx context.Context, spec containerSpec, now time.Time) {
	ctx = context.WithoutCancel(ctx)
	for range d.pool.reserve(spec, now) {
		d.inBackground(func() {
			c, err := d.prepareAhead(ctx, spec, d.pool.template(spec))
			if err != nil {
				d.log.Warn("cannot start warm container", zap.String("image", spec.image), zap.Error(err))
				d.pool.cancelStart(spec, err, time.Now())
				return
			}
			if surplus := d.pool.completeStart(spec, c); surplus != nil {
				d.discard(ctx, surplus)
			}
		})
	}
}
