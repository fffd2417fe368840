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
	if err := flag.Set("rapid.checks", "20"); err != nil { // each is hundreds of transactions; -rapid.checks=1000 tries more
		panic(err)
	}
	emulatortest.Main(m)
}

const (
	ada         = "ada"
	bob         = "bob"
	waitTimeout = 20 * time.Second
)

var claim = execution.Claimed{Executor: "x1", Lease: time.Hour}

// world is a real store under limits, and a bell that the test hears.
type harness struct {
	*Enforcer
	t         *testing.T
	clock     *emulatortest.Clock
	published chan execution.Change
}

func newHarness(t *testing.T, limits Limits) *harness {
	t.Helper()
	w := &harness{t: t, clock: new(emulatortest.Clock), published: make(chan execution.Change, 1000)}
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: w.clock.Now})
	w.Enforcer = New(store.New(f.Client), limits, w, zaptest.NewLogger(t))
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return w.Run(ctx) })
	t.Cleanup(sync.OnceFunc(func() {
		cancel()
		require.NoError(t, running.Wait())
	}))
	return w
}

// Tell is the bell's.
func (w *harness) Publish(_ context.Context, ch execution.Change) error {
	w.published <- ch
	return nil
}

func (w *harness) createAgent(tenant string) agent.Agent {
	w.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.CreateAgent(w.t.Context(), &a))
	return a
}

// submit accepts n runs of a new agent.
func (w *harness) submit(tenant string, n int) []execution.Ref {
	w.t.Helper()
	a := w.createAgent(tenant)
	var refs []execution.Ref
	for range n {
		ch, err := w.SubmitRun(w.t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x"})
		require.NoError(w.t, err)
		refs = append(refs, ch.Execution.Ref())
	}
	return refs
}

func (w *harness) requireClaimed(ref execution.Ref) {
	w.t.Helper()
	_, err := w.Apply(w.t.Context(), ref, claim)
	require.NoError(w.t, err)
}

func (w *harness) requireThrottled(ref execution.Ref) {
	w.t.Helper()
	_, err := w.Apply(w.t.Context(), ref, claim)
	require.ErrorIs(w.t, err, execution.ErrThrottled)
	e, err := w.Execution(w.t.Context(), ref)
	require.NoError(w.t, err)
	require.True(w.t, e.Throttled)
	require.Equal(w.t, execution.Queued, e.Status)
}

// end ends the first attempt of an execution, at a cost.
func (w *harness) finish(ref execution.Ref, costUSD float64) {
	w.t.Helper()
	_, err := w.Apply(w.t.Context(), ref, execution.Finished{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{}, Usage: execution.Usage{CostUSD: costUSD},
	}})
	require.NoError(w.t, err)
}

func (w *harness) nextReleased() execution.Ref {
	w.t.Helper()
	select {
	case ch := <-w.published:
		require.Len(w.t, ch.Notify, 1)
		return ch.Notify[0]
	case <-time.After(waitTimeout):
		require.FailNow(w.t, "nothing was released")
		panic("not reached")
	}
}
