package dispatcher

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	domaintenant "github.com/airlock-run/airlock/internal/domain/tenant"
)

var (
	claimed   = execution.Claimed{Executor: "x", ClaimID: "c"}
	succeeded = execution.JobEnded{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{Text: "done"}, Usage: execution.Usage{CostUSD: 0.5},
	}}
)

// However many wait, only the window is published. Each end publishes the next one, in the order of their acceptance.
func TestWaitingRunsArePublishedInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(f.store)
	const total = 3*pageSize + 7 // several pages
	refs := f.submitRuns(ada, total)
	window := dispatch.Window(dispatch.Capacity{Slots: slots, Weight: 1, WaitingWeight: 1})
	require.Eventually(t, func() bool { return len(f.queued) == window }, waitTimeout, interval)
	for _, want := range refs {
		require.Equal(t, want, f.next())
		f.finish(want)
	}
	require.LessOrEqual(t, f.maxInFlight, window+total/4, "the window follows the rate of ends")
	for ref, n := range f.timesPublished() {
		require.Equal(t, 1, n, ref.ID)
	}
}

// Two tenants that wait share the slots, however many executions one of them has.
func TestTenantsShareSlots(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(f.store)
	f.submitRuns(ada, 100)
	require.Eventually(t, func() bool { return len(f.queued) >= slots }, waitTimeout, interval)
	behind := len(f.queued) // the share that was published before bob came
	f.submitRuns("bob", 10)
	counts := map[string]int{}
	for counts["bob"] < 10 {
		ref := f.next()
		counts[ref.Tenant]++
		f.finish(ref)
	}
	require.LessOrEqual(t, counts[ada], behind+20, "bob waits behind no more than the share of ada")
}

func TestRunningLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.newDispatcher(f.store)
	d.config.Limits.Running = 2
	f.storeRuns(ada, "offline", 5)
	f.wake(ada, execution.LaneInteractive)
	require.NoError(t, d.turn(t.Context(), ada))
	require.Len(t, f.queued, 2)
	first := f.next()
	d.OnSignal(f.end(first))
	require.NoError(t, d.turn(t.Context(), ada))
	require.Len(t, f.queued, 2)

	_, err := f.firestore.Client.Doc("tenants/ada").Set(t.Context(), map[string]any{"settings": map[string]any{"maxRunning": 4}}, firestore.MergeAll)
	require.NoError(t, err)
	f.dispatchers = append(f.dispatchers, d)
	f.wake(ada, execution.LaneInteractive)
	require.NoError(t, d.turn(t.Context(), ada))
	require.Len(t, f.queued, 4, "the tenant's own limit")
}

func TestPausedTenantWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.dispatchers = append(f.dispatchers, f.newDispatcher(f.store))
	d := f.dispatchers[0]
	pause := func(paused bool) {
		_, err := f.firestore.Client.Doc("tenants/ada").Set(t.Context(), map[string]any{"settings": map[string]any{"paused": paused}}, firestore.MergeAll)
		require.NoError(t, err)
	}
	pause(true)
	f.submitRuns(ada, 1)
	f.submitBatch(ada, 1)
	require.NoError(t, d.turn(t.Context(), ada))
	require.Empty(t, f.queued)
	require.True(t, f.state(ada).Backlogged)
	pause(false)
	f.wake(ada, execution.LaneInteractive)
	require.NoError(t, d.turn(t.Context(), ada))
	require.Len(t, f.queued, 2)
}

func TestDailyBudget(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.newDispatcher(f.store)
	d.config.Limits = Limits{Running: 1, DailyUSD: 0.8}
	f.storeRuns(ada, "offline", 3)
	f.wake(ada, execution.LaneInteractive)
	for range 2 { // each costs 0.5 USD
		require.NoError(t, d.turn(t.Context(), ada))
		require.Len(t, f.queued, 1)
		d.OnSignal(f.end(f.next()))
	}
	require.NoError(t, d.turn(t.Context(), ada))
	require.Empty(t, f.queued)
	require.True(t, f.state(ada).Backlogged, "it goes on when the day is over")
}

// An execution whose runtime no executor can start is held, and does not hinder those behind it.
func TestExecutionWaitsForItsExecutor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(f.store)
	held := f.storeRuns(ada, "gpu", 1)[0]
	others := f.submitRuns(ada, 2)
	require.ElementsMatch(t, others, []execution.Ref{f.next(), f.next()})
	f.finish(others[0])
	f.finish(others[1])
	f.fleet.Change(func(f *fleet.Fleet) { f.Pools = []fleet.Pool{newPool(slots, "gpu", "offline")} })
	require.Equal(t, held, f.next())
}

// When nothing waits any more, the tenant's document says so, and the API publishes directly again.
func TestDrainedTenantIsIdle(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(f.store)
	f.finishAll(f.submitRuns(ada, 3))
	require.Eventually(t, func() bool { return f.state(ada).Backlog.Interactive == domaintenant.LaneDraining }, waitTimeout, interval)
	late := f.storeRuns(ada, "offline", 1) // by an API that has read the document before
	require.Equal(t, late[0], f.next())
	f.finish(late[0])
	require.Eventually(t, func() bool { return !f.state(ada).Backlogged }, waitTimeout, interval)
	f.finishAll(f.submitRuns(ada, 1))
}

func (f *fixture) finishAll(refs []execution.Ref) {
	f.t.Helper()
	for range refs {
		f.finish(f.next())
	}
}

// A new owner of the partition reads what runs, publishes what waits, and hears of ends whose signals went elsewhere.
func TestAnotherDispatcherTakesOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, stop := f.start(f.store)
	refs := f.submitRuns(ada, 30)
	for range 4 {
		_, err := f.store.Apply(t.Context(), f.next(), claimed)
		require.NoError(t, err)
	}
	stop()
	f.dispatchers = nil
	d, _ := f.start(f.store)
	window := dispatch.Window(dispatch.Capacity{Slots: slots, Weight: 1, WaitingWeight: 1})
	require.Eventually(t, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.tenants[ada] != nil && len(f.timesPublished()) >= window
	}, waitTimeout, interval)
	require.LessOrEqual(t, f.unfinished(), window, "what runs counts")
	for _, ref := range refs[:4] { // nobody tells the new owner of their ends
		_, err := f.store.Apply(t.Context(), ref, succeeded)
		require.NoError(t, err)
		f.mu.Lock()
		delete(f.inFlight, ref)
		f.mu.Unlock()
	}
	require.Eventually(t, func() bool { return len(f.timesPublished()) >= window+4 }, waitTimeout, interval)
}

// What could not be published is published soon after.
func TestFailedPublishIsRepeated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.failPublish = true
	d, _ := f.start(f.store)
	refs := f.submitRuns(ada, 3)
	require.Eventually(t, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.tenants[ada] != nil
	}, waitTimeout, interval)
	f.mu.Lock()
	f.failPublish = false
	f.mu.Unlock()
	for _, want := range refs {
		require.Equal(t, want, f.next())
	}
}

// Many tenants, submissions at random moments, lost signals of ends, and a change of the owner: every run is published
// and ends.
func TestEveryRunEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, stop := f.start(f.store)
	const tenants, runs = 5, 40
	var submitting sync.WaitGroup
	for i := range tenants {
		submitting.Go(func() {
			for range 4 {
				f.submitRuns(fmt.Sprint("tenant", i), runs/4)
			}
		})
	}
	ended := map[execution.Ref]bool{}
	for len(ended) < tenants*runs {
		ref := f.next()
		if ended[ref] {
			continue // published by both owners
		}
		ended[ref] = true
		s := f.end(ref)
		if len(ended)%7 != 0 {
			f.signal(s)
		}
		if len(ended) == tenants*runs/2 {
			stop()
			f.mu.Lock()
			f.dispatchers = nil
			f.mu.Unlock()
			f.start(f.store)
		}
	}
	submitting.Wait()
}

// A store that does not answer does not stop a turn for ever.
func TestTurnIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, f.newDispatcher(f.store).turn(ctx, ada))
	require.Greater(t, turnTimeout, 2*callTimeout)
}
