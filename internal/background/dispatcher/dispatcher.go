// Package dispatcher publishes the executions that wait, of the tenants that this process dispatches for.
//
// Each partition of tenants belongs to one process, as the fleet document says. For each of its tenants with waiting
// executions a dispatcher remembers what is in flight: published or running. It publishes the next ones when others
// end. How many, and which, is the policy of package dispatch. It also gives the inputs of batches their executions.
//
// In: wake signals of tenants, and signals of ended executions. Out: notifications. It never runs an execution, and
// nothing depends on it for correctness: two dispatchers that believe to own the same tenant publish too much for a
// moment, and what one of them remembers, the next one reads from the store.
package dispatcher

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/usage"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// maxConcurrent bounds how many tenants have a turn at the same time, so that a slow one does not stop the others.
	maxConcurrent = 16
	// turnTimeout bounds one turn: some queries, and a transaction for each batch that gets executions.
	turnTimeout = 30 * time.Second
	// callTimeout bounds a call of the store for one execution.
	callTimeout = 5 * time.Second
	// fleetMaxAge is how old the known number of slots may be.
	fleetMaxAge = 5 * time.Second
	// relistAfter is when the waiting tenants are listed once more after this process has got partitions: until then a
	// wake signal may have gone to the process that had them before. It is longer than an API believes an old fleet
	// document, and the call with which it marks a tenant.
	relistAfter = 15 * time.Second
	// listInterval is the time between two lists otherwise. They find a tenant whose wake signal was lost.
	listInterval = 3 * time.Minute
)

// Store reads what waits. Its methods are safe to repeat, by any number of dispatchers. DispatchBatch returns
// batch.ErrConflict to all but one of them.
type Store interface {
	tenantStore
	queueStore
	batchStore
}

type tenantStore interface {
	Tenant(ctx context.Context, name string) (store.Tenant, error)
	SetBacklog(ctx context.Context, name string, t store.Tenant, backlog tenant.Backlog) (bool, error)
	BackloggedTenants(ctx context.Context, partitions []int) ([]string, error)
	SpentToday(ctx context.Context, tenant string) (usage.Spent, error)
}

type queueStore interface {
	Queued(ctx context.Context, tenant string, from time.Time, after string, limit int) (store.QueuedPage, error)
	Running(ctx context.Context, tenant string) ([]dispatch.Candidate, error)
	Standings(ctx context.Context, tenant string, ids []string) (map[string]store.Standing, error)
}

type batchStore interface {
	ActiveBatches(ctx context.Context, tenant string) ([]store.ActiveBatch, error)
	QueuedOfBatch(ctx context.Context, ref batch.Ref) ([]dispatch.Candidate, error)
	DispatchBatch(ctx context.Context, ref batch.Ref) (batch.Batch, []execution.Ref, error)
	BatchInFlight(ctx context.Context, ref batch.Ref, scan *store.Scan, limit int) ([]execution.Ref, error)
}

// Applier changes executions. Apply is safe to repeat.
type Applier interface {
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// Publisher publishes the notifications of a change. After a failed call the dispatcher publishes again.
type Publisher interface {
	Publish(ctx context.Context, ch execution.Change) error
}

// FleetView returns the fleet document as it was at most maxAge ago. Changed is closed when it has changed.
type FleetView interface {
	Fleet(ctx context.Context, maxAge time.Duration) (fleet.Fleet, error)
	Changed() <-chan struct{}
}

// Limits are those of each tenant that has none of its own; a zero means no limit.
type Limits struct {
	Running  int
	DailyUSD float64
}

// Config has the parts and settings of a Dispatcher. All fields are required.
type Config struct {
	Process    string // this process, as the fleet document names it
	Store      Store
	Executions Applier
	Publisher  Publisher
	Fleet      FleetView
	Limits     Limits
	Log        *zap.Logger
}

// Dispatcher is safe for concurrent use.
type Dispatcher struct {
	config  Config
	log     *zap.Logger
	pending *supervise.WorkQueue[string] // tenants that are to have a turn
	batches *supervise.Backoffs[batch.Ref]

	mu      sync.Mutex
	tenants map[string]*tenantState // those with waiting executions, of this process's partitions
}

// New returns a dispatcher; Run starts it.
func New(c Config) *Dispatcher {
	failed := supervise.NewBackoffs[string](supervise.Dispatch, c.Log, isOutage)
	return &Dispatcher{
		config: c, log: c.Log, tenants: map[string]*tenantState{}, pending: supervise.NewWorkQueue(failed, 0),
		batches: supervise.NewBackoffs[batch.Ref](supervise.DispatchBatches, c.Log, store.IsUnavailable),
	}
}

// Run dispatches until ctx ends, and continues after every error of the store. A tenant that fails is tried again after
// a back-off of its own.
func (d *Dispatcher) Run(ctx context.Context) error {
	var loops errgroup.Group
	loops.Go(func() error {
		return supervise.Run(ctx, d.log, "find waiting tenants", d.followFleet)
	})
	loops.Go(func() error {
		d.pending.Run(ctx, maxConcurrent, d.turn)
		return nil
	})
	return loops.Wait()
}

// OnSignal takes a wake signal, or the signal of a change. It never blocks.
func (d *Dispatcher) OnSignal(s signal.Signal) {
	switch s.Kind {
	case signal.KindWake:
		d.mu.Lock()
		if t := d.tenants[s.Tenant]; t != nil {
			t.woken = true
		}
		d.mu.Unlock()
		d.pending.Add(s.Tenant)
	case signal.KindChange:
		if s.Change == nil {
			return
		}
		d.mu.Lock()
		t := d.tenants[s.Tenant]
		if t != nil {
			t.changes = append(t.changes, *s.Change)
		}
		d.mu.Unlock()
		if t != nil {
			d.pending.Add(s.Tenant)
		}
	default:
	}
}

// Waiting returns the weights of the tenants that wait, for the session of this process: the same ones in the same
// order.
func (d *Dispatcher) Waiting() (all []fleet.Waiting) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w, weight := range d.waitingByPool() {
		w.Weight = weight
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b fleet.Waiting) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Lane, b.Lane))
	})
	return all
}

// waitingByPool returns the weights by pool and lane. The caller holds mu.
func (d *Dispatcher) waitingByPool() map[fleet.Waiting]float64 {
	weights := map[fleet.Waiting]float64{}
	for _, t := range d.tenants {
		for _, w := range t.waits {
			weights[w] += t.weight
		}
	}
	return weights
}

// followFleet finds the waiting tenants of the partitions of this process: when it has got others, relistAfter
// that, and every listInterval.
func (d *Dispatcher) followFleet(ctx context.Context) error {
	var mine []int
	listAt := time.Now()
	for {
		changed := d.config.Fleet.Changed()
		partitions, err := d.partitions(ctx)
		if err != nil {
			return err
		}
		moved := !slices.Equal(partitions, mine)
		if moved || !time.Now().Before(listAt) {
			if err := d.list(ctx, partitions); err != nil {
				return err
			}
			listAt = time.Now().Add(listInterval)
			if moved {
				mine, listAt = partitions, time.Now().Add(relistAfter)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(time.Until(listAt)):
		}
	}
}

// partitions returns the partitions of this process, and forgets the tenants of all others.
func (d *Dispatcher) partitions(ctx context.Context) (mine []int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	f, err := d.config.Fleet.Fleet(ctx, listInterval)
	if err != nil {
		return nil, err
	}
	for partition, owner := range f.Owners {
		if owner == d.config.Process {
			mine = append(mine, partition)
		}
	}
	d.forgetOthers(&f)
	return mine, nil
}

// list gives each waiting tenant of the partitions a turn.
func (d *Dispatcher) list(ctx context.Context, partitions []int) error {
	if len(partitions) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	names, err := d.config.Store.BackloggedTenants(ctx, partitions)
	for _, name := range names {
		d.pending.Add(name)
	}
	return err
}

// forgetOthers forgets the tenants of partitions that this process does not own any more.
func (d *Dispatcher) forgetOthers(f *fleet.Fleet) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.tenants {
		if f.Owner(name) != d.config.Process {
			delete(d.tenants, name)
		}
	}
}
