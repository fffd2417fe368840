package fleet

import (
	"cmp"
	"maps"
	"slices"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Pool is a set of runtimes that the same executors can start, so they share the slots of these executors. In most
// installations there is one pool.
type Pool struct {
	Runtimes    []string `firestore:"runtimes"` // sorted, at least one
	Interactive PoolLane `firestore:"interactive"`
	Batch       PoolLane `firestore:"batch"`
}

// PoolLane is a lane of a pool.
type PoolLane struct {
	Slots         int     `firestore:"slots"`         // a slot that both lanes may use counts in both
	WaitingWeight float64 `firestore:"waitingWeight"` // of the tenants that wait for one of the runtimes
}

// Name is the first runtime. So it changes when the executors change, which a dispatcher sees soon.
func (p *Pool) Name() string { return p.Runtimes[0] }

// Lane returns a lane of the pool.
func (p *Pool) Lane(l execution.Lane) *PoolLane {
	if l == execution.LaneBatch {
		return &p.Batch
	}
	return &p.Interactive
}

// Waiting is the weight of the tenants that wait for a pool in a lane.
type Waiting struct {
	Pool   string         `firestore:"pool"` // its name
	Lane   execution.Lane `firestore:"lane"`
	Weight float64        `firestore:"weight"`
}

// Pool returns the pool of a runtime. ok is false if no living executor can start the runtime at present.
func (f *Fleet) Pool(runtime string) (pool *Pool, ok bool) {
	i := slices.IndexFunc(f.Pools, func(p Pool) bool { return slices.Contains(p.Runtimes, runtime) })
	if i < 0 {
		return nil, false
	}
	return &f.Pools[i], true
}

// CanStart reports whether a living executor can start a runtime at present.
func (f *Fleet) CanStart(runtime string) bool {
	_, ok := f.Pool(runtime)
	return ok
}

// StartableRuntimes returns the runtimes that living executors can start at present, sorted.
func (f *Fleet) StartableRuntimes() []string {
	names := []string{}
	for _, p := range f.Pools {
		names = append(names, p.Runtimes...)
	}
	slices.Sort(names)
	return names
}

// AnyWaits reports whether a tenant waits.
func (f *Fleet) AnyWaits() bool {
	return slices.ContainsFunc(f.Pools, func(p Pool) bool { return p.Interactive.WaitingWeight+p.Batch.WaitingWeight > 0 })
}

// poolsOf divides what executors can start into pools, in the order of their names. All executors pull and none drains.
func poolsOf(executors []*Executor, waiting []Waiting) []Pool {
	startedBy := map[string][]int{} // by runtime: which executors can start it
	for i, x := range executors {
		for _, r := range x.Runtimes {
			if r.Unavailable == "" {
				startedBy[r.Name] = append(startedBy[r.Name], i)
			}
		}
	}
	var pools []Pool
	var members [][]int
	for _, runtime := range slices.Sorted(maps.Keys(startedBy)) {
		by := startedBy[runtime]
		if i := slices.IndexFunc(members, func(m []int) bool { return slices.Equal(m, by) }); i >= 0 {
			pools[i].Runtimes = append(pools[i].Runtimes, runtime)
			continue
		}
		p := Pool{Runtimes: []string{runtime}}
		for _, i := range by {
			p.Interactive.Slots += executors[i].Slots
			p.Batch.Slots += executors[i].Slots - executors[i].Reserved
		}
		pools, members = append(pools, p), append(members, by)
	}
	for _, w := range waiting {
		i, found := slices.BinarySearchFunc(pools, w.Pool, func(p Pool, name string) int { return cmp.Compare(p.Name(), name) })
		if found {
			pools[i].Lane(w.Lane).WaitingWeight += w.Weight
		}
	}
	return pools
}
