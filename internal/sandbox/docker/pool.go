package docker

import (
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Warm asks for containers of one image and shape to be started ahead.
type Warm struct {
	Image  string
	Limits sandbox.Limits // of the jobs that they are for
	Count  int            // at least so many, whether jobs come or not
}

const (
	defaultWarmAge = 10 * time.Minute
	// demandWindow is how long a job counts as demand for another container
	// of its shape.
	demandWindow = time.Minute
	// After a container could not be started ahead, the next try waits, twice
	// as long each time. Jobs do not wait: they start their own.
	firstPause = 5 * time.Second
	maxPause   = 5 * time.Minute
)

// pool holds containers that were started ahead and wait for a job. Each is
// given away once; others are started in their place, off the job's path. The
// caller says what time it is.
type pool struct {
	age  time.Duration // of a container that is too old to be given away
	most int           // containers that demand may add to what was asked for

	mu      sync.Mutex
	closed  bool
	least   int // sum over the shelves
	shelves map[shape]*shelf
}

// shelf is the pool's part for one shape.
type shelf struct {
	least  int
	ready  []*cell // the oldest first
	coming int
	jobs   []time.Time // when they came, within the demand window
	pause  time.Duration
	resume time.Time // no try to start one ahead before that
}

func newPool(warm []Warm, most int, age time.Duration) *pool {
	p := &pool{age: age, most: most, shelves: map[shape]*shelf{}}
	for _, w := range warm {
		p.shelf(shapeOf(w.Image, withDefaults(w.Limits))).least += w.Count
		p.least += w.Count
	}
	return p
}

func (p *pool) shelf(s shape) *shelf {
	if p.shelves[s] == nil {
		p.shelves[s] = &shelf{}
	}
	return p.shelves[s]
}

// came counts a job as demand for its shape. More than most cannot be met.
func (p *pool) came(s shape, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	on := p.shelf(s)
	on.jobs = append(on.jobs, now)
	on.jobs = on.jobs[max(0, len(on.jobs)-p.most):]
}

// take gives away a container of that shape, or nil.
func (p *pool) take(s shape, now time.Time) *cell {
	p.mu.Lock()
	defer p.mu.Unlock()
	on := p.shelf(s)
	if len(on.ready) == 0 || p.tooOld(on.ready[0], now) {
		return nil // tidy takes out the old
	}
	c := on.ready[0]
	on.ready = on.ready[1:]
	return c
}

func (p *pool) tooOld(c *cell, now time.Time) bool {
	return now.Sub(c.record.Times.Started) > p.age
}

// wanted is how many of a shape should be ready: as many as jobs came lately,
// and never fewer than were asked for.
func (p *pool) wanted(on *shelf, now time.Time) int {
	on.jobs = slices.DeleteFunc(on.jobs, func(came time.Time) bool { return now.Sub(came) > demandWindow })
	return max(on.least, len(on.jobs))
}

// reserve says how many more of a shape are to be started, and counts them as
// coming.
func (p *pool) reserve(s shape, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	on := p.shelf(s)
	if p.closed || now.Before(on.resume) {
		return 0
	}
	room := p.least + p.most
	for _, other := range p.shelves {
		room -= other.coming + len(other.ready)
	}
	n := max(0, min(room, p.wanted(on, now)-on.coming-len(on.ready)))
	on.coming += n
	return n
}

// arrived ends a reservation. It returns the container if nobody wants it any
// more; c is nil if none could be started.
func (p *pool) arrived(s shape, c *cell, now time.Time) (unwanted *cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	on := p.shelf(s)
	on.coming--
	if c == nil {
		on.pause = min(max(firstPause, 2*on.pause), maxPause)
		on.resume = now.Add(on.pause)
		return nil
	}
	on.pause = 0
	if p.closed {
		return c
	}
	on.ready = append(on.ready, c)
	return nil
}

// tidy takes out what is too old or more than wanted.
func (p *pool) tidy(now time.Time) (out []*cell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s, on := range p.shelves {
		wanted := p.wanted(on, now)
		for len(on.ready) > 0 && (len(on.ready) > wanted || p.tooOld(on.ready[0], now)) {
			out = append(out, on.ready[0])
			on.ready = on.ready[1:]
		}
		if wanted == 0 && on.coming == 0 {
			delete(p.shelves, s)
		}
	}
	return out
}

// shapes lists what the pool may lack.
func (p *pool) shapes() []shape {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []shape
	for s := range p.shelves {
		all = append(all, s)
	}
	return all
}

// close returns what is still in the pool, and lets nothing in any more.
func (p *pool) close() []*cell {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var left []*cell
	for _, on := range p.shelves {
		left = append(left, on.ready...)
		on.ready = nil
	}
	return left
}
