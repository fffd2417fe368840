package quota

import (
	"context"
	"flag"
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
	"github.com/airlock-run/airlock/internal/store"
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
	waitTimeout = 2 * time.Minute // only a failing test waits this long
)

var claim = execution.Claimed{Executor: "x1", Lease: time.Hour}

// harness is an Enforcer over a real store. It is the publisher as well: published receives each change.
type harness struct {
	*Enforcer
	t         *testing.T
	firestore *emulatortest.Firestore
	store     *store.Store // without limits
	clock     *emulatortest.Clock
	published chan execution.Change
}

func newHarness(t *testing.T, limits Limits) *harness {
	t.Helper()
	h := &harness{t: t, clock: new(emulatortest.Clock), published: make(chan execution.Change, 1000)}
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: h.clock.Now})
	h.firestore, h.store = f, store.New(f.Client)
	h.Enforcer = New(Config{Store: h.store, Limits: limits, Publisher: h, Log: zaptest.NewLogger(t)})
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return h.Run(ctx) })
	t.Cleanup(sync.OnceFunc(func() {
		cancel()
		require.NoError(t, running.Wait())
	}))
	return h
}

func (h *harness) Publish(_ context.Context, ch execution.Change) error {
	h.published <- ch
	return nil
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
	_, err := h.Apply(h.t.Context(), ref, claim)
	require.NoError(h.t, err)
}

func (h *harness) requireThrottled(ref execution.Ref) {
	h.t.Helper()
	_, err := h.Apply(h.t.Context(), ref, claim)
	require.ErrorIs(h.t, err, execution.ErrThrottled)
	e, err := h.store.Execution(h.t.Context(), ref)
	require.NoError(h.t, err)
	require.True(h.t, e.Throttled)
	require.Equal(h.t, execution.Queued, e.Status)
}

// finish ends the first attempt of an execution with success.
func (h *harness) finish(ref execution.Ref, costUSD float64) {
	h.t.Helper()
	_, err := h.Apply(h.t.Context(), ref, execution.JobEnded{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{}, Usage: execution.Usage{CostUSD: costUSD},
	}})
	require.NoError(h.t, err)
}

func (h *harness) nextReleased() execution.Ref {
	h.t.Helper()
	select {
	case ch := <-h.published:
		require.Len(h.t, ch.Notify, 1)
		return ch.Notify[0]
	case <-time.After(waitTimeout):
		require.FailNow(h.t, "no execution was released")
		panic("unreachable")
	}
}
