package dispatcher

import (
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
)

// A tenant for which nothing can be done at the moment has no turns: those that wait behind a full window, those of a
// paused tenant, and an idle lane beside a batch.
func TestNoTurnWithoutWork(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*fixture){
		"full window":               func(f *fixture) { f.submitRuns(ada, 2*pageSize) },
		"batch with a full window":  func(f *fixture) { f.submitBatch(ada, 100) },
		"runtime without executors": func(f *fixture) { f.storeRuns(ada, "gpu", 3); f.wake(ada, execution.LaneInteractive) },
		"paused": func(f *fixture) {
			f.submitRuns(ada, 3)
			_, err := f.firestore.Client.Doc("tenants/ada").Set(t.Context(), map[string]any{"settings": map[string]any{"paused": true}}, firestore.MergeAll)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			d := f.newDispatcher(f.store)
			prepare(f)
			for range 3 { // the second and third settle what the first has changed
				require.NoError(t, d.turn(t.Context(), ada))
			}
			state := d.tenants[ada]
			mayPublish, err := d.mayPublish(t.Context(), state, time.Now())
			require.NoError(t, err)
			require.Equal(t, name != "paused", mayPublish)
			wait := state.nextTurn(time.Now(), mayPublish)
			if name == "runtime without executors" { // its lane waits, so others may be accepted for it
				require.Greater(t, wait, minTurnInterval)
				return
			}
			require.Greater(t, wait, minCheckInterval/2)
		})
	}
}

// An execution whose agent has used up its budget waits for the next day, and does not keep its place.
func TestDeferredExecutionGivesUpItsPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.newDispatcher(f.store)
	ref := f.submitRuns(ada, 1)[0]
	require.NoError(t, d.turn(t.Context(), ada))
	require.Equal(t, 1, d.tenants[ada].interactive.InFlight())
	_, err := f.firestore.Client.Doc("tenants/ada/executions/"+ref.ID).Update(t.Context(), []firestore.Update{{Path: "queuedAt", Value: f.clock.Now().Add(time.Hour)}})
	require.NoError(t, err)
	require.NoError(t, d.checkInFlight(t.Context(), d.tenants[ada], time.Now().Add(checkAge+minCheckInterval)))
	require.Zero(t, d.tenants[ada].interactive.InFlight())
	require.Len(t, f.queued, 1, "it is not published again")
}

// An execution that appears behind what was read, because its process was paused before the write, is found when the
// lane is read again.
func TestExecutionBehindWhatWasRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.newDispatcher(f.store)
	first := f.submitRuns(ada, 1)[0]
	require.NoError(t, d.turn(t.Context(), ada))
	require.Equal(t, first, <-f.queued)
	lateRef := f.copyWithTime(first, f.clock.Now().Add(-2*lookOverlap))
	l := &d.tenants[ada].interactive
	l.lookSoon()
	require.NoError(t, d.turn(t.Context(), ada))
	require.Empty(t, f.queued)
	l.rewindAt = time.Now()
	require.NoError(t, d.turn(t.Context(), ada))
	require.Equal(t, lateRef, <-f.queued)
	require.Empty(t, f.queued)
}

// An execution whose write was slow appears behind others that have been read. It is found also when the lane is looked
// at again much later, because what was read had to wait for its place.
func TestSlowWriteBehindWhatWasRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.firestore.Client.Doc("tenants/ada").Set(t.Context(), map[string]any{"settings": map[string]any{"maxRunning": 1}}, firestore.MergeAll)
	require.NoError(t, err)
	d := f.newDispatcher(f.store)
	submitted := f.submitRuns(ada, 3)
	require.NoError(t, d.turn(t.Context(), ada))
	slow := f.copyWithTime(submitted[0], f.clock.Now().Add(-lookOverlap/3))
	var published []execution.Ref
	for range 4 {
		ref := f.next()
		published = append(published, ref)
		require.Empty(t, f.queued, "one at a time")
		f.clock.Advance(time.Minute)
		l := &d.tenants[ada].interactive
		l.now = l.now.Add(time.Minute)
		l.lookSoon()
		d.OnSignal(f.end(ref))
		require.NoError(t, d.turn(t.Context(), ada))
	}
	require.ElementsMatch(t, append(submitted, slow), published)
}

// Executions that must wait for their agent's budget of another day give their places to others at once.
func TestRefusedClaimsDoNotBlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fleet.Change(func(f *fleet.Fleet) { f.Pools[0].Interactive.Slots = 0 }) // a window of 2
	d := f.newDispatcher(f.store)
	f.submitRuns(ada, 6)
	require.NoError(t, d.turn(t.Context(), ada))
	seen := map[execution.Ref]bool{}
	for range 3 {
		require.Len(t, f.queued, 2)
		for range 2 {
			ref := <-f.queued
			seen[ref] = true
			d.OnSignal(signal.Signal{Kind: signal.KindChange, Tenant: ada, Change: &signal.Change{ExecutionID: ref.ID, Status: execution.Queued}})
		}
		require.NoError(t, d.turn(t.Context(), ada))
	}
	require.Len(t, seen, 6)
}

// An execution that the API has published runs when the dispatcher publishes it again. Its end is noticed soon,
// although no signal tells of it.
func TestEndOfForeignExecutionIsNoticedSoon(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fleet.Change(func(f *fleet.Fleet) { f.Pools[0].Interactive.Slots = 0 }) // a window of 2
	d := f.newDispatcher(f.store)
	f.submitRuns(ada, 3)
	require.NoError(t, d.turn(t.Context(), ada))
	foreign := f.next()
	f.next()
	_, err := f.store.Apply(t.Context(), foreign, claimed)
	require.NoError(t, err)
	d.OnSignal(signal.Signal{Kind: signal.KindChange, Tenant: ada, Change: &signal.Change{ExecutionID: foreign.ID, Status: execution.Running}})
	require.NoError(t, d.turn(t.Context(), ada))
	require.Empty(t, f.queued)
	_, err = f.store.Apply(t.Context(), foreign, succeeded)
	require.NoError(t, err)
	require.LessOrEqual(t, time.Until(d.tenants[ada].check.at), minCheckInterval)
	require.NoError(t, d.checkInFlight(t.Context(), d.tenants[ada], time.Now().Add(minCheckInterval)))
	require.NoError(t, d.turn(t.Context(), ada))
	require.Len(t, f.queued, 1)
}

// While a tenant is paused, claims are refused. When the pause ends, their executions are published again.
func TestEndOfPause(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.newDispatcher(f.store)
	submitted := f.submitRuns(ada, 3)
	batchRefs := f.submitBatch(ada, 2)
	pause := func(paused bool) {
		_, err := f.firestore.Client.Doc("tenants/ada").Set(t.Context(), map[string]any{"settings": map[string]any{"paused": paused}}, firestore.MergeAll)
		require.NoError(t, err)
		d.OnSignal(signal.Signal{Kind: signal.KindWake, Tenant: ada})
		require.NoError(t, d.turn(t.Context(), ada))
	}
	require.NoError(t, d.turn(t.Context(), ada))
	taken := len(f.queued)
	require.GreaterOrEqual(t, taken, len(submitted)+2, batchRefs)
	for range taken {
		<-f.queued // refused by the executors
	}
	pause(true)
	require.Empty(t, f.queued)
	pause(false)
	require.Len(t, f.queued, taken)
}

// A signal of a tenant for which this process does not dispatch changes nothing.
func TestSignalOfOtherTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d := f.newDispatcher(f.store)
	f.fleet.Change(func(f *fleet.Fleet) { f.Owners = nil })
	d.OnSignal(signal.Signal{Kind: signal.KindWake, Tenant: ada})
	d.OnSignal(signal.Signal{Kind: signal.KindChange, Tenant: ada})
	require.NoError(t, d.turn(t.Context(), ada))
	require.Empty(t, d.tenants)
}
