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
	ada      = "ada"
	bob      = "bob"
	patience = 20 * time.Second
)

var claim = execution.Claimed{Executor: "x1", Lease: time.Hour}

// world is a real store under limits, and a bell that the test hears.
type world struct {
	*Store
	t     *testing.T
	clock *emulatortest.Clock
	rung  chan execution.Change
}

func start(t *testing.T, limits Limits) *world {
	t.Helper()
	w := &world{t: t, clock: new(emulatortest.Clock), rung: make(chan execution.Change, 1000)}
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: w.clock.Now})
	w.Store = New(store.New(f.Client), limits, w, zaptest.NewLogger(t))
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
func (w *world) Tell(_ context.Context, ch execution.Change) error {
	w.rung <- ch
	return nil
}

func (w *world) agent(owner string) agent.Agent {
	w.t.Helper()
	a := agent.Agent{Owner: owner, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.CreateAgent(w.t.Context(), &a))
	return a
}

// submit accepts n runs of a new agent.
func (w *world) submit(owner string, n int) []execution.Ref {
	w.t.Helper()
	a := w.agent(owner)
	var refs []execution.Ref
	for range n {
		ch, err := w.SubmitRun(w.t.Context(), store.Run{Owner: owner, AgentID: a.ID, Input: "x"})
		require.NoError(w.t, err)
		refs = append(refs, ch.Execution.Ref())
	}
	return refs
}

func (w *world) claims(ref execution.Ref) {
	w.t.Helper()
	_, err := w.Apply(w.t.Context(), ref, claim)
	require.NoError(w.t, err)
}

func (w *world) isHeld(ref execution.Ref) {
	w.t.Helper()
	_, err := w.Apply(w.t.Context(), ref, claim)
	require.ErrorIs(w.t, err, execution.ErrHeld)
	e, err := w.Execution(w.t.Context(), ref)
	require.NoError(w.t, err)
	require.True(w.t, e.Held)
	require.Equal(w.t, execution.Queued, e.Status)
}

// end ends the first attempt of an execution, at a cost.
func (w *world) end(ref execution.Ref, usd float64) {
	w.t.Helper()
	_, err := w.Apply(w.t.Context(), ref, execution.Finished{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{}, Usage: execution.Usage{CostUSD: usd},
	}})
	require.NoError(w.t, err)
}

func (w *world) released() execution.Ref {
	w.t.Helper()
	select {
	case ch := <-w.rung:
		require.Len(w.t, ch.Announce, 1)
		return ch.Announce[0]
	case <-time.After(patience):
		require.FailNow(w.t, "nothing was released")
		panic("not reached")
	}
}
