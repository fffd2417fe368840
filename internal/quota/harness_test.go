package quota

import (
	"context"
	"flag"
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
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/membership/membershiptest"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "20"); err != nil { // each check runs hundreds of transactions; -rapid.checks=1000 tries more
		panic(err)
	}
	emulatortest.Main(m)
}

const (
	ada         = "ada"
	bob         = "bob"
	dispatcher  = "prc_1"
	slots       = 4
	waitTimeout = 2 * time.Minute // only a failing test waits this long
)

var claim = execution.Claimed{Executor: "x1"}

// harness is an Enforcer over a real store.
type harness struct {
	*Enforcer
	t         *testing.T
	firestore *emulatortest.Firestore
	store     *store.Store // without limits
	clock     *emulatortest.Clock
	fleet     *membershiptest.View
}

func newHarness(t *testing.T, limits Limits) *harness {
	t.Helper()
	h := &harness{t: t, clock: new(emulatortest.Clock), fleet: newFleetView()}
	f := strict.StartFirestore(t, firestoreemulator.Options{Now: h.clock.Now})
	h.firestore, h.store = f, store.New(f.Client)
	h.Enforcer = New(Config{Store: h.store, Limits: limits, Fleet: h.fleet, Log: zaptest.NewLogger(t)})
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return h.Run(ctx) })
	t.Cleanup(sync.OnceFunc(func() {
		cancel()
		require.NoError(t, running.Wait())
	}))
	return h
}

func newFleetView() *membershiptest.View {
	return membershiptest.NewView(fleet.Fleet{
		Owners: slices.Repeat([]string{dispatcher}, fleet.Partitions), Executors: 1, APIs: 1,
		Pools: []fleet.Pool{{Runtimes: []string{"offline"}, Interactive: fleet.PoolLane{Slots: slots}}},
	})
}

func (h *harness) createAgent(tenant string) agent.Agent {
	h.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(h.t, h.store.CreateAgent(h.t.Context(), &a, nil))
	return a
}

// submit submits n runs of a new agent.
func (h *harness) submit(tenant string, n int) []execution.Ref {
	h.t.Helper()
	a := h.createAgent(tenant)
	var refs []execution.Ref
	for range n {
		ch, err := h.SubmitRun(h.t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x"})
		require.NoError(h.t, err)
		refs = append(refs, ch.Execution.Ref())
	}
	return refs
}

func (h *harness) requireClaimed(ref execution.Ref) {
	h.t.Helper()
	_, err := h.store.Apply(h.t.Context(), ref, claim)
	require.NoError(h.t, err)
}

// finish ends the first attempt of an execution with success.
func (h *harness) finish(ref execution.Ref, costUSD float64) {
	h.t.Helper()
	_, err := h.store.Apply(h.t.Context(), ref, execution.JobEnded{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{}, Usage: execution.Usage{CostUSD: costUSD},
	}})
	require.NoError(h.t, err)
}

func contextThatHasEnded(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}
