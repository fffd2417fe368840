package dispatcher

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
	domaintenant "github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/membership/membershiptest"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	ada         = "ada"
	process     = "prc_1"
	slots       = 8
	waitTimeout = 2 * time.Minute // only a failing test waits this long
	interval    = 10 * time.Millisecond
)

func newFleetView(owner string, slots int, runtimes ...string) *membershiptest.View {
	return membershiptest.NewView(fleet.Fleet{
		Owners: slices.Repeat([]string{owner}, fleet.Partitions), Executors: 1, APIs: 1,
		Pools: []fleet.Pool{newPool(slots, runtimes...)},
	})
}

func newPool(slots int, runtimes ...string) fleet.Pool {
	return fleet.Pool{Runtimes: runtimes, Interactive: fleet.PoolLane{Slots: slots}, Batch: fleet.PoolLane{Slots: slots}}
}

// fixture has a real store. It is the publisher as well: the test takes the published executions from queued.
type fixture struct {
	t         *testing.T
	firestore *emulatortest.Firestore
	clock     *emulatortest.Clock
	store     *store.Store
	fleet     *membershiptest.View

	mu          sync.Mutex
	published   map[execution.Ref]int // number of notifications
	inFlight    map[execution.Ref]bool
	maxInFlight int
	failPublish bool
	queued      chan execution.Ref // published executions that the test has not taken
	dispatchers []*Dispatcher
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	clock := new(emulatortest.Clock)
	emulator := strict.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	return &fixture{
		t: t, firestore: emulator, clock: clock, store: store.New(emulator.Client), fleet: newFleetView(process, slots, "offline"),
		published: map[execution.Ref]int{}, inFlight: map[execution.Ref]bool{}, queued: make(chan execution.Ref, 10_000),
	}
}

func (f *fixture) Publish(_ context.Context, ch execution.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failPublish {
		return context.DeadlineExceeded
	}
	for _, e := range ch.Notify {
		f.published[e.Ref]++
		f.inFlight[e.Ref] = true
		f.queued <- e.Ref
	}
	f.maxInFlight = max(f.maxInFlight, len(f.inFlight))
	return nil
}

// unfinished returns how many executions are published and have not ended.
func (f *fixture) unfinished() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.inFlight)
}

func (f *fixture) newDispatcher(s Store) *Dispatcher {
	return New(Config{Process: process, Store: s, Executions: f.store, Publisher: f, Fleet: f.fleet, Log: zaptest.NewLogger(f.t)})
}

// start runs a dispatcher over a store, which may be a faulty one, until the test ends or stop is called.
func (f *fixture) start(s Store) (d *Dispatcher, stop func()) {
	d = f.newDispatcher(s)
	f.mu.Lock()
	f.dispatchers = append(f.dispatchers, d)
	f.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return d.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(f.t, running.Wait())
	})
	f.t.Cleanup(stop)
	return d, stop
}

func (f *fixture) signal(s signal.Signal) {
	f.mu.Lock()
	dispatchers := slices.Clone(f.dispatchers)
	f.mu.Unlock()
	for _, d := range dispatchers {
		d.OnSignal(s)
	}
}

func (f *fixture) createAgent(tenant, runtime string) agent.Agent {
	f.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: runtime, Timeout: time.Minute}
	require.NoError(f.t, f.store.CreateAgent(f.t.Context(), &a, nil))
	return a
}

// submitRuns submits runs that wait for the dispatcher, and tells it.
func (f *fixture) submitRuns(tenant string, n int) (refs []execution.Ref) {
	f.t.Helper()
	refs = f.storeRuns(tenant, "offline", n)
	f.wake(tenant, execution.LaneInteractive)
	return refs
}

func (f *fixture) storeRuns(tenant, runtime string, n int) (refs []execution.Ref) {
	f.t.Helper()
	a := f.createAgent(tenant, runtime)
	for range n {
		ch, err := f.store.SubmitRun(f.t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x", Place: awaitDispatcher})
		require.NoError(f.t, err)
		require.Empty(f.t, ch.Notify)
		refs = append(refs, ch.Execution.Ref())
		f.clock.Advance(time.Microsecond) // so that their order is known
	}
	return refs
}

func (f *fixture) wake(tenant string, lane execution.Lane) {
	f.t.Helper()
	require.NoError(f.t, f.store.MarkWaiting(f.t.Context(), tenant, lane, ""))
	f.signal(signal.Signal{Kind: signal.KindWake, Tenant: tenant})
}

func (f *fixture) submitBatch(tenant string, total int) batch.Ref {
	f.t.Helper()
	ctx := f.t.Context()
	a := f.createAgent(tenant, "offline")
	b := batch.Batch{ID: id.New(id.Batch), Tenant: tenant, AgentID: a.ID, Total: total}
	inputs := f.store.NewBatchInputWriter(b.Ref())
	for i := range total {
		require.NoError(f.t, inputs.Add(ctx, batch.Input{Text: fmt.Sprint("input ", i)}))
	}
	require.NoError(f.t, inputs.Flush(ctx))
	require.NoError(f.t, f.store.SubmitBatch(ctx, &b, nil))
	f.signal(signal.Signal{Kind: signal.KindWake, Tenant: tenant})
	return b.Ref()
}

// next returns the execution that was published next.
func (f *fixture) next() execution.Ref {
	f.t.Helper()
	select {
	case ref := <-f.queued:
		return ref
	case <-time.After(waitTimeout):
		require.FailNow(f.t, "nothing was published")
		panic("unreachable")
	}
}

// finish runs an execution and tells the dispatchers of its end.
func (f *fixture) finish(ref execution.Ref) { f.t.Helper(); f.signal(f.end(ref)) }

// end runs an execution and returns the signal of its end.
func (f *fixture) end(ref execution.Ref) signal.Signal {
	f.t.Helper()
	ctx := f.t.Context()
	_, err := f.store.Apply(ctx, ref, claimed)
	require.NoError(f.t, err)
	ch, err := f.store.Apply(ctx, ref, succeeded)
	require.NoError(f.t, err)
	f.mu.Lock()
	delete(f.inFlight, ref)
	f.mu.Unlock()
	return endSignal(&ch.Execution)
}

func endSignal(e *execution.Execution) signal.Signal {
	return signal.Signal{Kind: signal.KindChange, Tenant: e.Tenant, Change: &signal.Change{
		ExecutionID: e.ID, Status: e.Status, Lane: e.Lane, BatchID: e.BatchID, CostUSD: e.Usage.CostUSD,
	}}
}

func awaitDispatcher(*domaintenant.Tenant, *execution.Execution) (store.Placement, error) {
	return store.AwaitDispatcher, nil
}

// runUntilFinished finishes published executions until the batch has finished.
func (f *fixture) runUntilFinished(ref batch.Ref) {
	f.t.Helper()
	deadline := time.After(waitTimeout)
	for {
		select {
		case executionRef := <-f.queued:
			f.finish(executionRef)
		case <-time.After(interval):
			if b, _, err := f.store.Batch(f.t.Context(), ref); err == nil && b.FinishedAt != nil {
				return
			}
		case <-deadline:
			f.t.Fatal("the batch does not finish")
		}
	}
}

func (f *fixture) state(tenant string) store.Tenant {
	f.t.Helper()
	t, err := f.store.Tenant(f.t.Context(), tenant)
	require.NoError(f.t, err)
	return t
}

func (f *fixture) timesPublished() map[execution.Ref]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.published)
}

// copyWithTime stores a copy of a queued execution that was accepted at another time.
func (f *fixture) copyWithTime(original execution.Ref, createdAt time.Time) execution.Ref {
	f.t.Helper()
	executions := f.firestore.Client.Collection("tenants/" + original.Tenant + "/executions")
	stored, err := executions.Doc(original.ID).Get(f.t.Context())
	require.NoError(f.t, err)
	fields := stored.Data()
	fields["createdAt"] = createdAt
	ref := execution.Ref{Tenant: original.Tenant, ID: id.New(id.Execution)}
	_, err = executions.Doc(ref.ID).Set(f.t.Context(), fields)
	require.NoError(f.t, err)
	return ref
}
