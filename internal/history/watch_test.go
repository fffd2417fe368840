package history

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/internal/agent"
	"github.com/airlock-run/airlock/internal/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/internal/emulator/firestore"
	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/store"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

// watched is a store, and a recorder that watches it.
func watched(t *testing.T) (*store.Store, *Recorder) {
	t.Helper()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	conn, err := grpc.NewClient(f.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	r := new(Recorder)
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	var watching errgroup.Group
	watching.Go(func() error { return r.Watch(ctx, conn, emulatortest.Project, func() { close(ready) }) })
	t.Cleanup(func() {
		cancel()
		require.Error(t, watching.Wait(), "it ends with its context")
		require.NoError(t, conn.Close())
	})
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "it does not begin")
	}
	return store.New(f.Client), r
}

// Every version is there, also of changes that come fast, and what is real passes.
func TestWatchMissesNothing(t *testing.T) {
	t.Parallel()
	s, r := watched(t)
	a := agent.Agent{Owner: "ada", Name: "A", Instructions: "Echo", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, s.CreateAgent(t.Context(), &a))
	ran, err := s.SubmitRun(t.Context(), store.Run{Owner: "ada", AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	said, err := s.SubmitTurn(t.Context(), store.Turn{Owner: "ada", Message: "hello", Builder: execution.Task{Runtime: "offline"}})
	require.NoError(t, err)
	r.Promised(Promise{Execution: ran.Execution.ID, Text: "done"})
	r.Promised(Promise{Execution: said.Execution.ID})

	const renewals = 20
	for _, ref := range []execution.Ref{ran.Execution.Ref(), said.Execution.Ref()} {
		apply := func(ev execution.Event) {
			_, err := s.Apply(t.Context(), ref, ev)
			require.NoError(t, err)
		}
		apply(execution.Claimed{Executor: "x1", Lease: time.Minute})
		for range renewals {
			apply(execution.Renewed{Attempt: 1, Lease: time.Minute})
		}
		apply(execution.Finished{Attempt: 1, Ending: execution.Ending{
			Status: execution.Succeeded, Result: &execution.Result{Text: "done"},
			Receipt: `{"execution":"` + ref.ID + `","attempt":1,"executor":"x1"}`,
		}})
		r.Saw(Sight{ref.ID, execution.Succeeded, "done"})
	}
	require.Eventually(t, func() bool { return len(Check(r.History())) == 0 }, 10*time.Second, 10*time.Millisecond, "%v", Check(r.History()))
	// Queued, running, renewed, ended; the turn besides: two messages, and its conversation with and without it.
	require.Len(t, r.History().Versions, 2*(3+renewals)+4)
	require.Equal(t, 2, Sum(r.History()).ByStatus[execution.Succeeded])
}
