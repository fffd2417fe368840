package docker

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// WarmPool configures containers that are started before their jobs arrive.
type WarmPool struct {
	Job     sandbox.Job // which the containers are for: its image and limits, and, with Ahead, how its agent is started
	MinIdle int         // number of waiting containers at least, with or without demand
}

const (
	defaultWarmMaxAge = 10 * time.Minute
	// demandWindow is the time after a job's arrival in which the job counts as demand for one more container of its
	// spec.
	demandWindow = time.Minute
	// After a start that failed because of the image, the next warm container of that image waits, twice as long each
	// time. After one that failed because of the Engine, all warm containers wait. Jobs do not wait: each starts its own
	// container.
	minRetryDelay       = 5 * time.Second
	maxRetryDelay       = 5 * time.Minute
	maxEngineRetryDelay = time.Minute
)

// pool holds warm containers, which wait for their jobs. Each container leaves the pool one time, for one job, and a
// new one replaces it in the background. The pool starts and removes nothing itself: its methods return what the driver
// must start or remove. The caller passes the current time. The methods are safe for concurrent use.
type pool struct {
	maxAge   time.Duration // older containers are not used
	maxExtra int           // number of containers that demand may add to minIdle

	mu       sync.Mutex
	closed   bool
	minIdle  int // sum over the subpools
	subpools map[containerSpec]*subpool
	held     map[containerSpec]*sandboxContainer // that somebody has started for one job

	// While the Engine fails starts, the pool starts one container at a time, and none before engineRetryAt.
	engineFails   bool
	engineBackOff *backoff.ExponentialBackOff
	engineRetryAt time.Time
}

// subpool is the part of the pool for one spec.
type subpool struct {
	minIdle    int
	start      *sandbox.Job        // how the agents are started; nil: the containers have none
	idle       []*sandboxContainer // the oldest first
	starting   int                 // reserved, not yet started
	recentJobs []time.Time         // arrival times within the demand window
	backOff    *backoff.ExponentialBackOff
	retryAt    time.Time // no start before this time
}

func newPool(warm []WarmPool, maxExtra int, maxAge time.Duration) *pool {
	p := &pool{
		maxAge: maxAge, maxExtra: maxExtra, subpools: map[containerSpec]*subpool{}, held: map[containerSpec]*sandboxContainer{},
		engineBackOff: newBackOff(maxEngineRetryDelay),
	}
	for _, w := range warm {
		spec := newSpec(w.Job.Image, withDefaults(w.Job.Limits))
		var start *sandbox.Job
		if isTemplate(w.Job) {
			start = template(w.Job)
			spec, _ = spec.withAgent(w.Job)
		}
		sub := p.subpool(spec)
		sub.minIdle, sub.start = sub.minIdle+w.MinIdle, start
		p.minIdle += w.MinIdle
	}
	return p
}

func (p *pool) subpool(spec containerSpec) *subpool {
	if p.subpools[spec] == nil {
		p.subpools[spec] = &subpool{backOff: newBackOff(maxRetryDelay)}
	}
	return p.subpools[spec]
}

func newBackOff(maxDelay time.Duration) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: minRetryDelay, Multiplier: 2, MaxInterval: maxDelay}
}

// recordDemand counts a job as demand for its spec, whose agents are started with start. It stores at most maxExtra
// jobs, because the pool cannot serve more demand.
func (p *pool) recordDemand(spec containerSpec, start *sandbox.Job, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.subpool(spec)
	sub.start = start
	sub.recentJobs = append(sub.recentJobs, now)
	sub.recentJobs = sub.recentJobs[max(0, len(sub.recentJobs)-p.maxExtra):]
}

// take removes a container of that spec from the pool and returns it. It returns nil if there is none.
func (p *pool) take(spec containerSpec, now time.Time) *sandboxContainer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.held[spec]; c != nil {
		delete(p.held, spec)
		return c
	}
	sub := p.subpools[spec]
	if sub == nil || len(sub.idle) == 0 || p.expired(sub.idle[0], now) {
		return nil // evict returns expired containers
	}
	c := sub.idle[0]
	sub.idle = sub.idle[1:]
	return c
}

func (p *pool) expired(c *sandboxContainer, now time.Time) bool {
	return now.Sub(c.record.Times.Started) > p.maxAge
}

// target returns the number of containers that should wait: one for each recent job, and at least minIdle.
func (p *pool) target(sub *subpool, now time.Time) int {
	sub.recentJobs = slices.DeleteFunc(sub.recentJobs, func(at time.Time) bool { return now.Sub(at) > demandWindow })
	return max(sub.minIdle, len(sub.recentJobs))
}

// reserve returns the number of containers of a spec that the caller must start. It counts them as starting until
// completeStart or cancelStart is called for each of them.
func (p *pool) reserve(spec containerSpec, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.subpool(spec)
	if p.closed || now.Before(sub.retryAt) || p.engineFails && now.Before(p.engineRetryAt) {
		return 0
	}
	capacity, starting := p.maxExtra, 0
	for _, other := range p.subpools {
		// What demand adds takes no place of the configured ones, here or in another subpool.
		capacity -= max(0, other.starting+len(other.idle)-other.minIdle)
		starting += other.starting
	}
	capacity += max(0, sub.minIdle-sub.starting-len(sub.idle))
	if p.engineFails {
		capacity = min(capacity, 1-starting)
	}
	n := max(0, min(capacity, p.target(sub, now)-sub.starting-len(sub.idle)))
	sub.starting += n
	return n
}

// completeStart ends a reservation and adds the container to the pool. If the pool is closed, it returns the container,
// which the caller must remove.
func (p *pool) completeStart(spec containerSpec, c *sandboxContainer) (surplus *sandboxContainer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.subpool(spec)
	sub.starting--
	sub.backOff.Reset()
	if p.closed {
		return c
	}
	sub.idle = append(sub.idle, c)
	return nil
}

// cancelStart ends the reservation of a start that failed. Only a failure because of the image concerns its spec alone;
// see recordEngine.
func (p *pool) cancelStart(spec containerSpec, err error, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.subpool(spec)
	sub.starting--
	var failure *sandbox.StartError
	if errors.As(err, &failure) && failure.Cause.OfImage() {
		sub.retryAt = now.Add(sub.backOff.NextBackOff())
	}
}

// recordEngine records whether the Engine started a container, of the pool or not. Failures of starts that ran at the
// same time count as one.
func (p *pool) recordEngine(started bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case started:
		p.engineFails = false
		p.engineBackOff.Reset()
	case !p.engineFails || !now.Before(p.engineRetryAt):
		p.engineFails, p.engineRetryAt = true, now.Add(p.engineBackOff.NextBackOff())
	}
}

// delayStart delays the next start for a spec whose container has ended while it waited.
func (p *pool) delayStart(spec containerSpec, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sub := p.subpools[spec]; sub != nil {
		sub.retryAt = now.Add(sub.backOff.NextBackOff())
	}
}

// template returns how the agents of a spec are started; nil: they are not.
func (p *pool) template(spec containerSpec) *sandbox.Job {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.subpool(spec).start
}

// hold adds a container that was started for one job, in addition to those of the subpools. It returns the one that the
// caller must remove: the container that it replaces, or, if the pool is closed, c.
func (p *pool) hold(spec containerSpec, c *sandboxContainer) (surplus *sandboxContainer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return c
	}
	surplus = p.held[spec]
	p.held[spec] = c
	return surplus
}

// release removes a container that is held. It returns false if no one holds it any more.
func (p *pool) release(spec containerSpec, c *sandboxContainer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[spec] != c {
		return false
	}
	delete(p.held, spec)
	return true
}

// waitingAgents counts the agents in the pool.
func (p *pool) waitingAgents() (w sandbox.WaitingAgents) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.NextJob = len(p.held)
	for spec, sub := range p.subpools {
		if spec.start != "" {
			w.AnyJob += len(sub.idle)
		}
	}
	return w
}

// evictDead removes from the pool the containers that have ended while they waited, and returns them.
func (p *pool) evictDead(isWaiting func(*sandboxContainer) bool) (dead []*sandboxContainer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	isDead := func(c *sandboxContainer) bool {
		if isWaiting(c) {
			return false
		}
		dead = append(dead, c)
		return true
	}
	for _, sub := range p.subpools {
		sub.idle = slices.DeleteFunc(sub.idle, isDead)
	}
	maps.DeleteFunc(p.held, func(_ containerSpec, c *sandboxContainer) bool { return isDead(c) })
	return dead
}

// evict removes from the pool the containers that are expired or beyond the target, and returns them.
func (p *pool) evict(now time.Time) (evicted []*sandboxContainer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for spec, sub := range p.subpools {
		target := p.target(sub, now)
		for len(sub.idle) > 0 && (len(sub.idle) > target || p.expired(sub.idle[0], now)) {
			evicted = append(evicted, sub.idle[0])
			sub.idle = sub.idle[1:]
		}
		if target == 0 && sub.starting == 0 {
			delete(p.subpools, spec)
		}
	}
	return evicted
}

// specs returns the specs for which reserve may return more than 0.
func (p *pool) specs() []containerSpec {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.subpools))
}

// close empties the pool and returns its containers. A closed pool accepts no container.
func (p *pool) close() []*sandboxContainer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	idle := slices.Collect(maps.Values(p.held))
	clear(p.held)
	for _, sub := range p.subpools {
		idle = append(idle, sub.idle...)
		sub.idle = nil
	}
	return idle
}
