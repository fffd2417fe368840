package quota

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

const (
	// fleetMaxAge is how old the known number of slots and dispatchers may be.
	fleetMaxAge = 5 * time.Second
	// missingMaxAge is the same for a runtime that no executor has offered. So a new executor is noticed soon.
	missingMaxAge = 500 * time.Millisecond
	// minDirect is how many executions of a tenant an API publishes itself at least.
	minDirect = 2
	// minRecountAge is the least age of a count at which it is repeated before it is needed.
	minRecountAge = time.Second
	// placementConcurrency bounds how many tenants are counted, and how many dispatchers are woken, at the same time.
	placementConcurrency = 8
	// placementTimeout bounds one of these calls.
	placementTimeout = 5 * time.Second
)

// FleetView returns the fleet document as it was at most maxAge ago.
type FleetView interface {
	Fleet(ctx context.Context, maxAge time.Duration) (fleet.Fleet, error)
}

// place decides who publishes a new execution. The API publishes it itself if nothing of the tenant waits, an executor
// can start the runtime, and this process has published few enough: then the dispatcher need not know of it. All others
// wait for the dispatcher, which shares the slots among the tenants that wait.
func (e *Enforcer) place(f *fleet.Fleet, t *tenant.Tenant, x *execution.Execution) store.Placement {
	state := t.Backlog.Interactive
	if state == tenant.LaneWaiting {
		return store.AwaitDispatcher
	}
	pool, startable := f.Pool(x.Task.Runtime)
	if !startable {
		return store.WakeDispatcher
	}
	limit := directLimit(f, pool, e.maxRunning(t))
	limited := t.Backlogged && e.maxRunning(t) > 0 // the dispatcher may count as many already
	if t.Paused || limited || !e.direct.take(x.Tenant, limit) {
		return store.WakeDispatcher
	}
	return store.PublishDirectly
}

func (e *Enforcer) maxRunning(t *tenant.Tenant) int {
	if t.MaxRunning != nil {
		return *t.MaxRunning
	}
	return e.limits.Running
}

func (e *Enforcer) maxQueued(t *tenant.Tenant) int {
	if t.MaxQueued != nil {
		return *t.MaxQueued
	}
	return e.limits.Queued
}

// directLimit returns how many executions of a tenant this process may have published itself that have not ended: its
// part of the slots, and of the tenant's limit.
func directLimit(f *fleet.Fleet, pool *fleet.Pool, maxRunning int) int {
	apis := max(1, f.APIs)
	limit := max(minDirect, pool.Interactive.Slots/apis)
	if maxRunning > 0 {
		limit = min(limit, max(1, maxRunning/apis))
	}
	return limit
}

// directCounts knows how many unfinished executions the tenants have at most: what was counted, and what this process
// has published since. It never waits for a count: take asks for one, and the answer serves later calls.
type directCounts struct {
	recount func(tenant string)

	mu     sync.Mutex
	counts map[string]*directCount
}

type directCount struct {
	counted   int
	since     int // published, and not certainly contained in counted
	pending   int // of these: their creation has not ended
	countedAt time.Time
	counting  bool
}

// maxDirectCounts bounds how many tenants are remembered. One that is forgotten is counted again.
const maxDirectCounts = 10_000

// take takes a place among limit and reports whether there was one. The caller calls settle after the creation.
func (d *directCounts) take(name string, limit int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.get(name)
	used := c.counted + c.since
	if used >= (limit+1)/2 && !c.counting && time.Since(c.countedAt) >= minRecountAge || used >= limit && !c.counting {
		c.counting = true
		d.recount(name)
	}
	if used >= limit {
		return false
	}
	c.since++
	c.pending++
	return true
}

func (d *directCounts) get(name string) *directCount {
	c := d.counts[name]
	if c == nil {
		if len(d.counts) >= maxDirectCounts {
			for other, o := range d.counts {
				if o.pending == 0 && !o.counting {
					delete(d.counts, other)
					break
				}
			}
		}
		c = &directCount{}
		d.counts[name] = c
	}
	return c
}

// settle ends a take. published is false if nothing was published after all.
func (d *directCounts) settle(name string, published bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.get(name)
	c.pending--
	if !published {
		c.since--
	}
}

// count counts the unfinished executions of a tenant. What was created before the count began is contained in it.
func (e *Enforcer) count(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, placementTimeout)
	defer cancel()
	d := &e.direct
	d.mu.Lock()
	c := d.get(name)
	contained := c.since - c.pending
	startedAt := time.Now()
	d.mu.Unlock()
	n, err := e.store.CountUnfinished(ctx, name, maxUnfinished)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		return err // it is repeated
	}
	c.counting = false
	c.counted, c.countedAt = n, startedAt
	c.since -= contained
	return nil
}

// maxUnfinished bounds a count: no process publishes more of one tenant itself.
const maxUnfinished = 10_000

// request is one call that creates an execution, from its admission to the outcome of its write.
type request struct {
	enforcer  *Enforcer
	ctx       context.Context //nolint:containedctx // the store calls place without one
	tenant    string
	fleet     fleet.Fleet
	admission *Admission
	decided   bool
	placement store.Placement
}

// begin begins a submission. Without a known fleet nothing is known of executors, so the dispatcher decides.
func (e *Enforcer) begin(ctx context.Context, name string) *request {
	f, err := e.fleet.Fleet(ctx, fleetMaxAge)
	if err != nil {
		e.log.Warn("could not read the fleet; the dispatcher decides", zap.Error(err))
	}
	return &request{enforcer: e, ctx: ctx, tenant: name, fleet: f}
}

// place is the store's Placer. A transaction that is repeated calls it again, and gets the same answer.
func (s *request) place(t *tenant.Tenant, x *execution.Execution) (store.Placement, error) {
	if s.decided {
		return s.placement, nil
	}
	if err := s.enforcer.checkBudget(s.ctx, s.tenant, t); err != nil {
		return 0, err
	}
	var err error
	if s.admission, err = s.enforcer.admissions.Admit(s.ctx, s.tenant, s.enforcer.maxQueued(t)); err != nil {
		return 0, err
	}
	if !s.fleet.CanStart(x.Task.Runtime) {
		s.refreshFleet()
	}
	s.decided, s.placement = true, s.enforcer.place(&s.fleet, t, x)
	return s.placement, nil
}

// refreshFleet reads the fleet again, because an executor may have come since. Without an answer the known one counts.
func (s *request) refreshFleet() {
	if f, err := s.enforcer.fleet.Fleet(s.ctx, missingMaxAge); err == nil {
		s.fleet = f
	}
}

// end ends a submission by the outcome of its write.
func (s *request) end(ch execution.Change, err error) {
	s.admission.Settle(err)
	if !s.decided {
		return
	}
	switch s.placement {
	case store.PublishDirectly:
		s.enforcer.direct.settle(s.tenant, len(ch.Notify) > 0)
	case store.WakeDispatcher:
		s.enforcer.Wake(s.tenant, execution.LaneInteractive)
	case store.AwaitDispatcher:
	}
}

// wake tells the dispatcher of a tenant that executions wait in a lane.
func (e *Enforcer) wake(ctx context.Context, w waiting) error {
	ctx, cancel := context.WithTimeout(ctx, placementTimeout)
	defer cancel()
	f, err := e.fleet.Fleet(ctx, fleetMaxAge)
	if err != nil {
		return err
	}
	return e.store.MarkWaiting(ctx, w.tenant, w.lane, f.Owner(w.tenant))
}
