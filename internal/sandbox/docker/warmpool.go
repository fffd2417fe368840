package docker

import (
	"context"
	"errors"
	"os"
	"time"

	"go.uber.org/zap"
)

const (
	// warmInterval is how often the pool is looked after between jobs.
	warmInterval = 10 * time.Second
	// refillDelay keeps the start of the next container, which takes what CPU
	// there is, off the start of a job, and off all of a short one.
	refillDelay = 250 * time.Millisecond
)

// KeepWarm fills the pool and looks after it until ctx ends; then it empties
// it for good, and jobs that still come start containers of their own. It
// returns nil.
func (d *Driver) RunWarmPool(ctx context.Context) error {
	tick := time.NewTicker(warmInterval)
	defer tick.Stop()
	for {
		d.maintainPool(ctx, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			d.drainPool(ctx)
			return nil
		}
	}
}

// lookAfterPool throws away what is too old or no longer wanted, and starts
// what is missing.
func (d *Driver) maintainPool(ctx context.Context, now time.Time) {
	for _, c := range d.pool.evict(now) {
		d.discard(ctx, c)
	}
	for _, s := range d.pool.specs() {
		d.refill(ctx, s, now)
	}
}

func (d *Driver) drainPool(ctx context.Context) {
	for _, c := range d.pool.close() {
		d.discard(ctx, c)
	}
}

// refillBeside refills for a job that took a container, when the job is over or
// has run for a while.
func (d *Driver) refillAfterJob(ctx context.Context, s containerSpec, done <-chan struct{}) {
	delay := time.NewTimer(refillDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-done:
	}
	d.refill(ctx, s, time.Now())
}

// refill starts what the pool lacks of a shape, in the background. It does not
// end with ctx: what it starts is for later jobs.
func (d *Driver) refill(ctx context.Context, s containerSpec, now time.Time) {
	ctx = context.WithoutCancel(ctx)
	for range d.pool.reserve(s, now) {
		d.background.Go(func() {
			c, err := d.prepare(ctx, s, "")
			if err != nil {
				d.log.Warn("container could not be started ahead", zap.String("image", s.image), zap.Error(err))
			}
			if surplus := d.pool.completeStart(s, c, time.Now()); surplus != nil {
				d.discard(ctx, surplus)
			}
		})
	}
}

// take gets a container that waits for its job: one started ahead that still
// lives, or a new one.
func (d *Driver) acquire(ctx context.Context, s containerSpec, execution string) (*sandboxContainer, error) {
	d.pool.recordDemand(s, time.Now())
	for c := d.pool.take(s, time.Now()); c != nil; c = d.pool.take(s, time.Now()) {
		if c.isWaiting() {
			c.record.Warm = true
			return c, nil
		}
		d.discard(ctx, c)
	}
	return d.prepare(ctx, s, execution)
}

// waits tells whether a container that has no job yet still waits for one: it
// would have ended its output otherwise, or be saying something.
func (c *sandboxContainer) isWaiting() bool {
	if err := c.stream.Conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return false
	}
	_, err := c.stream.Reader.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded) && c.stream.Conn.SetReadDeadline(time.Time{}) == nil
}
