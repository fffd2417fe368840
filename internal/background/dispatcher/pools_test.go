package dispatcher

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
)

const gpuSlots = 1

var gpuWindow = dispatch.Window(dispatch.Capacity{Slots: gpuSlots, Weight: 1, WaitingWeight: 1})

// newMixedFixture has 8 slots for the runtime offline and one other slot for gpu.
func newMixedFixture(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.fleet.Change(func(f *fleet.Fleet) { f.Pools = []fleet.Pool{newPool(gpuSlots, "gpu"), newPool(slots, "offline")} })
	return f
}

// Many executions of a scarce runtime do not fill the slots of another one, and those that come after them pass.
func TestPoolsHaveWindowsOfTheirOwn(t *testing.T) {
	t.Parallel()
	f := newMixedFixture(t)
	d := f.newDispatcher(f.store)
	gpus := f.storeRuns(ada, "gpu", 150) // more than a page
	others := f.submitRuns(ada, 3)
	require.NoError(t, d.turn(t.Context(), ada))
	require.Len(t, f.queued, gpuWindow+len(others))
	for _, want := range append(gpus[:gpuWindow:gpuWindow], others...) {
		require.Equal(t, want, f.next())
	}
	require.Equal(t, []fleet.Waiting{
		{Pool: "gpu", Lane: execution.LaneInteractive, Weight: 1}, {Pool: "offline", Lane: execution.LaneInteractive, Weight: 1},
	}, d.Waiting())

	d.OnSignal(f.end(gpus[0]))
	require.NoError(t, d.turn(t.Context(), ada))
	require.Equal(t, gpus[gpuWindow], f.next(), "the next one, in the order of the tenant")
	require.Empty(t, f.queued)
	require.Less(t, time.Until(d.tenants[ada].interactive.nextLook), time.Second, "it goes on looking for others")
}

// Tenants that wait for other executors do not make a tenant's share smaller.
func TestShareOfAPoolCountsItsOwnTenants(t *testing.T) {
	t.Parallel()
	f := newMixedFixture(t)
	f.fleet.Change(func(f *fleet.Fleet) {
		f.Pools[0].Interactive.Slots = 8
		f.Pools[1].Interactive.WaitingWeight = 9
	})
	d := f.newDispatcher(f.store)
	f.storeRuns(ada, "gpu", 30)
	f.wake(ada, execution.LaneInteractive)
	require.NoError(t, d.turn(t.Context(), ada))
	require.Len(t, f.queued, dispatch.Window(dispatch.Capacity{Slots: 8, Weight: 1, WaitingWeight: 1}))

	f.storeRuns("bob", "offline", 30)
	f.wake("bob", execution.LaneInteractive)
	require.NoError(t, d.turn(t.Context(), "bob"))
	require.Len(t, d.tenants["bob"].interactive.Lane.Runtimes(), 1)
	require.Equal(t, dispatch.Window(dispatch.Capacity{Slots: slots, Weight: 1, WaitingWeight: 9}), d.tenants["bob"].interactive.InFlight())
}
