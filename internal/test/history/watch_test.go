package history_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/history"
	"github.com/airlock-run/airlock/internal/test/history/historytest"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

// Every version is there, also of changes that come fast, and what is real passes.
func TestWatchRecordsEveryVersion(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	s := store.New(f.Client)
	r, _ := historytest.Watch(t, f.Address(), emulatortest.Project)
	a := agent.Agent{Tenant: "ada", Name: "A", Instructions: "Echo", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, s.CreateAgent(t.Context(), &a))
	ran, err := s.SubmitRun(t.Context(), store.RunRequest{Tenant: "ada", AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	said, err := s.SubmitTurn(t.Context(), store.TurnRequest{Tenant: "ada", Message: "hello", Builder: execution.Task{Runtime: "offline"}})
	require.NoError(t, err)
	r.RecordAcceptance(history.Acceptance{Execution: ran.Execution.ID, Text: "done"})
	r.RecordAcceptance(history.Acceptance{Execution: said.Execution.ID})

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
		r.RecordObservation(history.Observation{ref.ID, execution.Succeeded, "done"})
	}
	require.Eventually(t, func() bool { return len(history.Check(r.History())) == 0 }, 10*time.Second, 10*time.Millisecond, "%v", history.Check(r.History()))
	// Queued, running, renewed, ended; the turn besides: two messages, and its conversation with and without it.
	require.Len(t, r.History().Versions, 2*(3+renewals)+4)
	require.Equal(t, 2, history.Summarize(r.History()).ByStatus[execution.Succeeded])
}
