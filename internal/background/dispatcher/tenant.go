package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

// tenantState is what the dispatcher remembers about a tenant. Only the turn of the tenant uses it, except the fields
// that are under Dispatcher.mu.
type tenantState struct {
	name string

	// Under Dispatcher.mu.
	woken   bool            // a wake signal has come: read the tenant's document, and look for new work
	changes []signal.Change // of executions in flight, for the next turn
	waits   []fleet.Waiting // the pools for which something waits
	weight  float64

	stored      store.Tenant
	interactive interactiveLane
	batches     []*batchState // active, the oldest first
	check       checkSchedule
	spent       spending
	heldBy      []string // the runtimes of the fleet at which executions were held
}

// turn publishes what may be published of a tenant, and decides when its next turn is.
func (d *Dispatcher) turn(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	f, err := d.config.Fleet.Fleet(ctx, fleetMaxAge)
	if err != nil {
		return err
	}
	if f.Owner(name) != d.config.Process {
		d.forget(name)
		return nil
	}
	t, err := d.load(ctx, name)
	if err != nil {
		return err
	}
	now := time.Now()
	d.applyChanges(t, now)
	t.releaseHeld(&f)
	if err := d.checkInFlight(ctx, t, now); err != nil {
		return err
	}
	mayPublish, err := d.mayPublish(ctx, t, now)
	if err != nil {
		return err
	}
	if mayPublish {
		if err := d.fillInteractive(ctx, t, &f); err != nil {
			return err
		}
	}
	if err := d.fillBatches(ctx, t, &f, mayPublish); err != nil {
		return err
	}
	return d.settle(ctx, t, &f, mayPublish)
}

// load returns the state of a tenant. It reads the tenant's document after a wake signal, and everything that is in
// flight when the tenant is new to this process.
func (d *Dispatcher) load(ctx context.Context, name string) (*tenantState, error) {
	d.mu.Lock()
	t := d.tenants[name]
	if t == nil {
		t = &tenantState{name: name, weight: 1}
	}
	known := d.tenants[name] != nil
	woken := t.woken
	t.woken = false
	d.tenants[name] = t // from now on the ends of executions are remembered
	d.mu.Unlock()
	if known && !woken {
		return t, nil
	}
	err := d.read(ctx, t, !known)
	if err != nil {
		d.mu.Lock()
		t.woken = true
		if !known && d.tenants[name] == t {
			delete(d.tenants, name)
		}
		d.mu.Unlock()
	}
	return t, err
}

// read reads the tenant's document, and what is in flight if the tenant is new to this process, or was paused: then
// claims were refused, and their executions wait again.
func (d *Dispatcher) read(ctx context.Context, t *tenantState, isNew bool) (err error) {
	wasPaused := t.stored.Paused
	if t.stored, err = d.config.Store.Tenant(ctx, t.name); err != nil {
		return err
	}
	d.setWeight(t)
	if wasPaused && !t.stored.Paused {
		isNew, t.batches, t.interactive = true, nil, interactiveLane{}
	}
	t.interactive.now, t.interactive.nowAt = t.stored.Now, time.Now()
	t.interactive.lookSoon()
	if err := d.syncBatches(ctx, t); err != nil || !isNew {
		return err
	}
	running, err := d.config.Store.Running(ctx, t.name)
	if err != nil {
		return err
	}
	now := time.Now()
	t.interactive.Lane = dispatch.NewLane()
	t.check.start(now)
	for _, c := range running {
		t.laneOf(c.BatchID).Adopt(c)
	}
	d.log.Debug("dispatching for tenant", zap.String("tenant", t.name), zap.Int("running", len(running)), zap.Int("batches", len(t.batches)))
	return nil
}

// laneOf returns the lane of a batch, or the interactive one. What runs of a batch that is not active any more counts
// as interactive: it uses up the running limit.
func (t *tenantState) laneOf(batchID string) *dispatch.Lane {
	for _, b := range t.batches {
		if b.ref.ID == batchID {
			return b.lane
		}
	}
	return t.interactive.Lane
}

func (d *Dispatcher) setWeight(t *tenantState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.weight = t.stored.Weight; t.weight <= 0 {
		t.weight = 1
	}
}

// setWaits notes for which pools something waits.
func (d *Dispatcher) setWaits(t *tenantState, f *fleet.Fleet) {
	runtimes := map[execution.Lane]map[string]bool{execution.LaneInteractive: {}, execution.LaneBatch: {}}
	if t.interactive.waits() {
		runtimes[execution.LaneInteractive] = t.interactive.Runtimes()
	}
	for _, b := range t.batches {
		runtimes[execution.LaneBatch][b.runtime] = true
	}
	waits := map[fleet.Waiting]bool{} // without a weight
	for lane, names := range runtimes {
		for name := range names {
			if pool, ok := f.Pool(name); ok {
				waits[fleet.Waiting{Pool: pool.Name(), Lane: lane}] = true
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t.waits = slices.Collect(maps.Keys(waits))
}

func (d *Dispatcher) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tenants, name)
}

// applyChanges frees the places of the executions that have ended, and of those that wait for another day.
func (d *Dispatcher) applyChanges(t *tenantState, now time.Time) {
	d.mu.Lock()
	changes := t.changes
	t.changes = nil
	d.mu.Unlock()
	for _, change := range changes {
		lane := t.laneOf(change.BatchID)
		switch {
		case change.Status.Terminal():
			t.spent.add(change.CostUSD)
			lane.End(change.ExecutionID, change.NextTurn, now)
		case change.Status == execution.Running: // by a notification that this process did not publish
			lane.Unreport(change.ExecutionID)
			t.check.start(now)
		default:
			lane.GiveUp(change.ExecutionID)
		}
	}
}

// inFlight returns how many executions of the tenant are published or running.
func (t *tenantState) inFlight() int {
	n := t.interactive.InFlight()
	for _, b := range t.batches {
		n += b.lane.InFlight()
	}
	return n
}

// free returns how many more executions of the tenant its running limit allows.
func (d *Dispatcher) free(t *tenantState) int {
	if limit := d.maxRunning(t); limit > 0 {
		return limit - t.inFlight()
	}
	return math.MaxInt
}

func (d *Dispatcher) maxRunning(t *tenantState) int {
	if t.stored.MaxRunning != nil {
		return *t.stored.MaxRunning
	}
	return d.config.Limits.Running
}

// publish publishes executions that have just been counted as in flight.
func (d *Dispatcher) publish(ctx context.Context, t *tenantState, lane execution.Lane, candidates []dispatch.Candidate) error {
	ch := execution.Change{Dispatcher: d.config.Process}
	for _, c := range candidates {
		ch.Notify = append(ch.Notify, execution.Runnable{Ref: execution.Ref{Tenant: t.name, ID: c.ID}, Lane: lane, Runtime: c.Runtime})
	}
	if err := d.config.Publisher.Publish(ctx, ch); err != nil {
		return fmt.Errorf("%w: %w", errNotPublished, err)
	}
	return nil
}

// errNotPublished means that Pub/Sub is unavailable, which concerns all tenants.
var errNotPublished = errors.New("could not publish")

func isOutage(err error) bool { return store.IsUnavailable(err) || errors.Is(err, errNotPublished) }

// drainTime is how long the dispatcher goes on looking for waiting executions after it has said that it will not. An
// API that has not read that yet may accept executions for the dispatcher until then. Its write takes at most 5 s.
const drainTime = 10 * time.Second

// settle says in the tenant's document that nothing waits any more, in two steps, and decides when the next turn is.
func (d *Dispatcher) settle(ctx context.Context, t *tenantState, f *fleet.Fleet, mayPublish bool) error {
	backlog, now := t.stored.Backlog, time.Now()
	d.setWaits(t, f)
	if mayPublish {
		backlog.Interactive = t.interactive.nextState(backlog.Interactive, now)
		if len(t.batches) == 0 {
			backlog.Batch = tenant.LaneIdle
		}
	}
	if backlog != t.stored.Backlog {
		changed, err := d.config.Store.SetBacklog(ctx, t.name, t.stored, backlog)
		if err != nil {
			return err
		}
		d.mu.Lock()
		t.woken = true // the document has another version now
		d.mu.Unlock()
		if !changed || backlog != (tenant.Backlog{}) {
			d.pending.Add(t.name)
			return nil
		}
	}
	if backlog == (tenant.Backlog{}) {
		d.forget(t.name)
		return nil
	}
	d.pending.AddAfter(t.name, t.nextTurn(now, mayPublish))
	return nil
}

const (
	// minTurnInterval keeps a tenant from having turns without a pause.
	minTurnInterval = 10 * time.Millisecond
	// maxTurnInterval is the time to the next turn of a tenant for which there is nothing to do: a tenant that is paused,
	// or whose budget is used up.
	maxTurnInterval = 30 * time.Second
)

// nextTurn returns the time until the next turn if no signal arrives. A lane whose next execution is known waits for
// the end of another one, and needs no turn before that.
func (t *tenantState) nextTurn(now time.Time, mayPublish bool) time.Duration {
	wait := min(maxTurnInterval, t.check.at.Sub(now))
	if mayPublish && t.interactive.mayLook() {
		wait = min(wait, t.interactive.nextLook.Sub(now))
	}
	for _, b := range t.batches {
		if b.retryAt.After(now) {
			wait = min(wait, b.retryAt.Sub(now))
		}
	}
	return max(wait, minTurnInterval)
}
