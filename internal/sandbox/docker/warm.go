package docker

import (
	"context"
	"errors"
	"os"
	"time"

	"go.uber.org/zap"
)

// warmInterval is how often the pool is looked after between jobs.
const warmInterval = 10 * time.Second

// KeepWarm fills the pool and looks after it until ctx ends; then it empties
// it for good, and jobs that still come start containers of their own. It
// returns nil.
func (d *Driver) KeepWarm(ctx context.Context) error {
	tick := time.NewTicker(warmInterval)
	defer tick.Stop()
	for {
		d.lookAfterPool(ctx, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			d.drain(ctx)
			return nil
		}
	}
}

// lookAfterPool throws away what is too old or no longer wanted, and starts
// what is missing.
func (d *Driver) lookAfterPool(ctx context.Context, now time.Time) {
	for _, c := range d.pool.tidy(now) {
		d.discard(ctx, c)
	}
	for _, s := range d.pool.shapes() {
		d.refillAt(ctx, s, now)
	}
}

func (d *Driver) drain(ctx context.Context) {
	for _, c := range d.pool.close() {
		d.discard(ctx, c)
	}
}

// refill starts what the pool lacks of a shape, in the background.
func (d *Driver) refill(ctx context.Context, s shape) { d.refillAt(ctx, s, time.Now()) }

// refillAt does not end with ctx: what it starts is for later jobs.
func (d *Driver) refillAt(ctx context.Context, s shape, now time.Time) {
	ctx = context.WithoutCancel(ctx)
	for range d.pool.reserve(s, now) {
		d.working.Go(func() {
			c, err := d.prepare(ctx, s, "")
			if err != nil {
				d.log.Warn("container could not be started ahead", zap.String("image", s.image), zap.Error(err))
			}
			if unwanted := d.pool.arrived(s, c, time.Now()); unwanted != nil {
				d.discard(ctx, unwanted)
			}
		})
	}
}

// take gets a container that waits for its job: one started ahead that still
// lives, or a new one.
func (d *Driver) take(ctx context.Context, s shape, execution string) (*cell, error) {
	d.pool.came(s, time.Now())
	for c := d.pool.take(s, time.Now()); c != nil; c = d.pool.take(s, time.Now()) {
		if c.waits() {
			c.record.Warm = true
			return c, nil
		}
		d.discard(ctx, c)
	}
	return d.prepare(ctx, s, execution)
}

// waits tells whether a container that has no job yet still waits for one: it
// would have ended its output otherwise, or be saying something.
func (c *cell) waits() bool {
	if err := c.stream.Conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return false
	}
	_, err := c.stream.Reader.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded) && c.stream.Conn.SetReadDeadline(time.Time{}) == nil
}
