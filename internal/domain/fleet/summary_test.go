package fleet_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
)

func executor(process string, x fleet.Executor) fleet.Session {
	return fleet.Session{ID: process + ".1", Process: process, Kind: fleet.KindExecutor, Executor: &x}
}

func TestSummarize(t *testing.T) {
	t.Parallel()
	waits := func(pool string, weight float64) []fleet.Waiting {
		return []fleet.Waiting{{Pool: pool, Lane: execution.LaneBatch, Weight: weight}}
	}
	offline := []fleet.Runtime{{Name: "offline"}, {Name: "claude", Unavailable: "no key"}, {Name: "broken", Unavailable: "no image"}}
	f := fleet.Summarize("a", []fleet.Session{
		executor("a", fleet.Executor{Slots: 4, Reserved: 1, Pulling: true, Runtimes: offline}),
		executor("b", fleet.Executor{
			Slots: 8, Reserved: 2, Reason: "no engine", Runtimes: []fleet.Runtime{{Name: "gpu"}},
			Waiting: waits("offline", 1.5),
		}),
		executor("c", fleet.Executor{
			Slots: 16, Pulling: true, Draining: true, Waiting: append(waits("offline", 2), waits("gone", 1)...),
		}),
		{ID: "d.1", Process: "d", Kind: fleet.KindAPI},
	}, nil)
	require.Equal(t, fleet.Fleet{
		Leader: "a", Owners: fleet.Assign(nil, []string{"a", "b"}), Executors: 3, APIs: 1,
		Slots: map[execution.Lane]int{execution.LaneInteractive: 4, execution.LaneBatch: 3},
		Pools: []fleet.Pool{
			{Runtimes: []string{"offline"}, Interactive: fleet.PoolLane{Slots: 4}, Batch: fleet.PoolLane{Slots: 3, WaitingWeight: 3.5}},
		},
	}, f)
	require.Equal(t, []string{"offline"}, f.StartableRuntimes())
	require.True(t, f.AnyWaits())
}

// Runtimes of the same executors share their slots; those of other executors do not.
func TestPools(t *testing.T) {
	t.Parallel()
	offers := func(process string, slots int, names ...string) fleet.Session {
		x := fleet.Executor{Slots: slots, Pulling: true}
		for _, name := range names {
			x.Runtimes = append(x.Runtimes, fleet.Runtime{Name: name})
		}
		return executor(process, x)
	}
	lane := func(slots int) fleet.PoolLane { return fleet.PoolLane{Slots: slots} }
	f := fleet.Summarize("a", []fleet.Session{
		offers("a", 4, "offline", "claude"), offers("b", 4, "claude", "offline"), offers("c", 1, "gpu", "offline", "claude"), offers("d", 2, "arm"),
	}, nil)
	require.Equal(t, []fleet.Pool{
		{Runtimes: []string{"arm"}, Interactive: lane(2), Batch: lane(2)},
		{Runtimes: []string{"claude", "offline"}, Interactive: lane(9), Batch: lane(9)},
		{Runtimes: []string{"gpu"}, Interactive: lane(1), Batch: lane(1)},
	}, f.Pools)
	pool, ok := f.Pool("offline")
	require.True(t, ok)
	require.Equal(t, "claude", pool.Name())
	_, ok = f.Pool("tpu")
	require.False(t, ok)
	require.False(t, f.CanStart("tpu"))
	require.False(t, f.AnyWaits())
}

// Somebody must dispatch, also while every executor drains.
func TestDrainingExecutorsDispatchIfThereIsNoOther(t *testing.T) {
	t.Parallel()
	draining := executor("a", fleet.Executor{Draining: true})
	require.Equal(t, fleet.Assign(nil, []string{"a"}), fleet.Summarize("a", []fleet.Session{draining}, nil).Owners)
	require.Empty(t, fleet.Summarize("a", nil, nil).Owners)
}

func TestTimesOfExpiry(t *testing.T) {
	t.Parallel()
	renewed := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s, f := fleet.Session{RenewedAt: renewed}, fleet.Fleet{Leader: "a", RenewedAt: renewed}
	require.False(t, s.Expired(renewed.Add(fleet.SessionLease-1)))
	require.True(t, s.Expired(renewed.Add(fleet.SessionLease)))
	require.True(t, f.Led(renewed.Add(fleet.SessionLease-1)))
	require.False(t, f.Led(renewed.Add(fleet.SessionLease)))
	require.False(t, (&fleet.Fleet{RenewedAt: renewed}).Led(renewed), "the leader has resigned")
}

func TestOwnerIsStable(t *testing.T) {
	t.Parallel()
	f := fleet.Fleet{Owners: fleet.Assign(nil, []string{"a", "b", "c"})}
	require.Equal(t, f.Owners[fleet.Partition("ada")], f.Owner("ada"))
	require.Empty(t, new(fleet.Fleet).Owner("ada"))
	require.Equal(t, "prc_1", fleet.ProcessOf("prc_1.7"))
	seen := map[int]bool{}
	for i := range 1000 {
		seen[fleet.Partition(string(rune('a'+i%26))+string(rune('a'+i/26)))] = true
	}
	require.Len(t, seen, fleet.Partitions, "every partition is used")
}
