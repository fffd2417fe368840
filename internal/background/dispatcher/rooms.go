package dispatcher

import (
	"time"

	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
)

// rooms says what room the runtimes have in a lane of a tenant, during one turn. The runtimes of a pool share a window.
type rooms struct {
	fleet   *fleet.Fleet
	lanes   []*dispatch.Lane // of the tenant
	windows map[string]int   // by the name of the pool
}

func (d *Dispatcher) rooms(t *tenantState, f *fleet.Fleet, lane execution.Lane, lanes ...*dispatch.Lane) rooms {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	r := rooms{fleet: f, lanes: lanes, windows: map[string]int{}}
	here := d.waitingByPool()
	for i := range f.Pools {
		pool := &f.Pools[i]
		ends := 0.0
		for _, l := range lanes {
			ends += l.EndsPerSecond(pool.Runtimes, now)
		}
		r.windows[pool.Name()] = dispatch.Window(dispatch.Capacity{
			Slots: pool.Lane(lane).Slots, Weight: t.weight, EndsPerSecond: ends,
			WaitingWeight: max(pool.Lane(lane).WaitingWeight, here[fleet.Waiting{Pool: pool.Name(), Lane: lane}]),
		})
	}
	return r
}

// of returns the room of a runtime.
func (r rooms) of(runtime string) dispatch.Room {
	pool, startable := r.fleet.Pool(runtime)
	if !startable {
		return dispatch.NoExecutor
	}
	return r.ofPool(pool)
}

func (r rooms) ofPool(pool *fleet.Pool) dispatch.Room {
	inFlight := 0
	for _, l := range r.lanes {
		inFlight += l.InFlightOf(pool.Runtimes)
	}
	if inFlight >= r.windows[pool.Name()] {
		return dispatch.Full
	}
	return dispatch.Free
}

// full reports whether no runtime has room, though there are executors.
func (r rooms) full() bool {
	for i := range r.fleet.Pools {
		if r.ofPool(&r.fleet.Pools[i]) == dispatch.Free {
			return false
		}
	}
	return len(r.fleet.Pools) > 0
}
