package docker

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// pool holds containers that were started ahead and wait for a job. Each is
// given away once; another is started in its place.
type pool struct {
	mu     sync.Mutex
	closed bool
	want   map[shape]int
	coming map[shape]int
	ready  map[shape][]*cell
}

func newPool(images map[string]int) *pool {
	p := &pool{want: map[shape]int{}, coming: map[shape]int{}, ready: map[shape][]*cell{}}
	for image, n := range images {
		p.want[shapeOf(sandbox.Job{Image: image, Limits: sandbox.DefaultLimits})] = n
	}
	return p
}

// take gives away a container of that shape, or nil.
func (p *pool) take(s shape) *cell {
	p.mu.Lock()
	defer p.mu.Unlock()
	ready := p.ready[s]
	if len(ready) == 0 {
		return nil
	}
	p.ready[s] = ready[1:]
	return ready[0]
}

// reserve says how many more of a shape are wanted, and counts them as coming.
func (p *pool) reserve(s shape) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0
	}
	n := max(0, p.want[s]-p.coming[s]-len(p.ready[s]))
	p.coming[s] += n
	return n
}

// arrived ends a reservation. It returns the container if nobody wants it any
// more; c is nil if none could be started.
func (p *pool) arrived(s shape, c *cell) (unwanted *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.coming[s]--
	if c == nil || p.closed {
		return c
	}
	p.ready[s] = append(p.ready[s], c)
	return nil
}

// close returns what is still in the pool, and lets nothing in any more.
func (p *pool) close() []*cell {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	left := slices.Concat(slices.Collect(maps.Values(p.ready))...)
	clear(p.ready)
	return left
}

// Warm starts what the pool lacks, in the background. A container that cannot
// be started ahead is tried again when a job of its shape comes or Warm is
// called; the job then starts one of its own and learns why.
func (d *Driver) Warm(ctx context.Context) {
	for s := range d.pool.want {
		d.refill(ctx, s)
	}
}

// refill does not end with ctx: what it starts is for later jobs.
func (d *Driver) refill(ctx context.Context, s shape) {
	ctx = context.WithoutCancel(ctx)
	for range d.pool.reserve(s) {
		d.working.Go(func() {
			c, err := d.prepare(ctx, s, "")
			if err != nil {
				d.log.Warn("container could not be started ahead", zap.String("image", s.image), zap.Error(err))
			}
			if unwanted := d.pool.arrived(s, c); unwanted != nil {
				d.discard(ctx, unwanted)
			}
		})
	}
}

// take gets a container that waits for its job: one started ahead that still
// lives, or a new one.
func (d *Driver) take(ctx context.Context, s shape, execution string) (*cell, error) {
	defer d.refill(ctx, s)
	for c := d.pool.take(s); c != nil; c = d.pool.take(s) {
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
