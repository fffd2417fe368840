package docker

import (
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Warm asks for containers of one image and shape to be started ahead.
type WarmPool struct {
	Image   string
	Limits  sandbox.Limits // of the jobs that they are for
	MinIdle int            // at least so many, whether jobs come or not
}

const (
	defaultWarmMaxAge = 10 * time.Minute
	// demandWindow is how long a job counts as demand for another container
	// of its shape.
	demandWindow = time.Minute
	// After a container could not be started ahead, the next try waits, twice
	// as long each time. Jobs do not wait: they start their own.
	minRetryDelay = 5 * time.Second
	maxRetryDelay = 5 * time.Minute
)

// pool holds containers that were started ahead and wait for a job. Each is
// given away once; others are started in their place, off the job's path. The
// caller says what time it is.
type pool struct {
	maxAge   time.Duration // of a container that is too old to be given away
	maxExtra int           // containers that demand may add to what was asked for

	mu       sync.Mutex
	closed   bool
	minIdle  int // sum over the shelves
	subpools map[containerSpec]*subpool
}

// shelf is the pool's part for one shape.
type subpool struct {
	minIdle    int
	idle       []*sandboxContainer // the oldest first
	starting   int
	recentJobs []time.Time // when they came, within the demand window
	retryDelay time.Duration
	retryAt    time.Time // no try to start one ahead before that
}

func newPool(warm []WarmPool, maxExtra int, maxAge time.Duration) *pool {
	p := &pool{maxAge: maxAge, maxExtra: maxExtra, subpools: map[containerSpec]*subpool{}}
	for _, w := range warm {
		p.subpool(newSpec(w.Image, withDefaults(w.Limits))).minIdle += w.MinIdle
		p.minIdle += w.MinIdle
	}
	return p
}

func (p *pool) subpool(s containerSpec) *subpool {
	if p.subpools[s] == nil {
		p.subpools[s] = &subpool{}
	}
	return p.subpools[s]
}

// came counts a job as demand for its shape. More than most cannot be met.
func (p *pool) recordDemand(s containerSpec, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.subpool(s)
	sub.recentJobs = append(sub.recentJobs, now)
	sub.recentJobs = sub.recentJobs[max(0, len(sub.recentJobs)-p.maxExtra):]
}

// take gives away a container of that shape, or nil.
func (p *pool) take(s containerSpec, now time.Time) *sandboxContainer {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.subpool(s)
	if len(sub.idle) == 0 || p.expired(sub.idle[0], now) {
		return nil // tidy takes out the old
	}
	c := sub.idle[0]
	sub.idle = sub.idle[1:]
	return c
}

func (p *pool) expired(c *sandboxContainer, now time.Time) bool {
	return now.Sub(c.record.Times.Started) > p.maxAge
}

// wanted is how many of a shape should be ready: as many as jobs came lately,
// and never fewer than were asked for.
func (p *pool) target(sub *subpool, now time.Time) int {
	sub.recentJobs = slices.DeleteFunc(sub.recentJobs, func(at time.Time) bool { return now.Sub(at) > demandWindow })
	return max(sub.minIdle, len(sub.recentJobs))
}

// reserve says how many more of a shape are to be started, and counts them as
// coming.
func (p *pool) reserve(s containerSpec, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.subpool(s)
	if p.closed || now.Before(sub.retryAt) {
		return 0
	}
	capacity := p.minIdle + p.maxExtra
	for _, other := range p.subpools {
		capacity -= other.starting + len(other.idle)
	}
	n := max(0, min(capacity, p.target(sub, now)-sub.starting-len(sub.idle)))
	sub.starting += n
	return n
}

// arrived ends a reservation. It returns the container if nobody wants it any
// more; c is nil if none could be started.
func (p *pool) completeStart(s containerSpec, c *sandboxContainer, now time.Time) (surplus *sandboxContainer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.subpool(s)
	sub.starting--
	if c == nil {
		sub.retryDelay = min(max(minRetryDelay, 2*sub.retryDelay), maxRetryDelay)
		sub.retryAt = now.Add(sub.retryDelay)
		return nil
	}
	sub.retryDelay = 0
	if p.closed {
		return c
	}
	sub.idle = append(sub.idle, c)
	return nil
}

// tidy takes out what is too old or more than wanted.
func (p *pool) evict(now time.Time) (evicted []*sandboxContainer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s, sub := range p.subpools {
		target := p.target(sub, now)
		for len(sub.idle) > 0 && (len(sub.idle) > target || p.expired(sub.idle[0], now)) {
			evicted = append(evicted, sub.idle[0])
			sub.idle = sub.idle[1:]
		}
		if target == 0 && sub.starting == 0 {
			delete(p.subpools, s)
		}
	}
	return evicted
}

// shapes lists what the pool may lack.
func (p *pool) specs() []containerSpec {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []containerSpec
	for s := range p.subpools {
		all = append(all, s)
	}
	return all
}

// close returns what is still in the pool, and lets nothing in any more.
func (p *pool) close() []*sandboxContainer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var idle []*sandboxContainer
	for _, sub := range p.subpools {
		idle = append(idle, sub.idle...)
		sub.idle = nil
	}
	return idle
}
