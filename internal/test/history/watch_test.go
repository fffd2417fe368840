package history_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/history"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

// The recorder sees every version, also of fast changes, and can decode what the store really writes.
func TestWatchRecordsEveryVersion(t *testing.T) {
	t.Parallel()
	f := strict.StartFirestore(t, firestoreemulator.Options{})
	s := store.New(f.Client)
	r, _ := history.Watch(t, f.Address(), emulatortest.Project)
	a := agent.Agent{Tenant: "ada", Name: "A", Instructions: "Echo", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, s.CreateAgent(t.Context(), &a, nil))
	run, err := s.SubmitRun(t.Context(), store.RunRequest{Tenant: "ada", AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	turn, err := s.SubmitTurn(t.Context(), store.TurnRequest{Tenant: "ada", Message: "hello", Builder: execution.Task{Runtime: "offline"}})
	require.NoError(t, err)
	r.RecordAcceptance(history.Acceptance{Execution: run.Execution.ID, Text: "done"})
	r.RecordAcceptance(history.Acceptance{Execution: turn.Execution.ID})

	for _, ref := range []execution.Ref{run.Execution.Ref(), turn.Execution.Ref()} {
		apply := func(ev execution.Event) {
			_, err := s.Apply(t.Context(), ref, ev)
			require.NoError(t, err)
		}
		apply(execution.Claimed{Executor: "x1"})
		apply(execution.JobEnded{Attempt: 1, Ending: execution.Ending{
			Status: execution.Succeeded, Result: &execution.Result{Text: "done"},
			Receipt: `{"execution":"` + ref.ID + `","attempt":1,"executor":"x1"}`,
		}})
		r.RecordObservation(history.Observation{ref.ID, execution.Succeeded, "done"})
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.Empty(c, history.Check(r.History())) }, time.Minute, 10*time.Millisecond)
	// Each execution is queued, running and finished. The turn also has two messages, and its conversation
	// with and without it as pending.
	require.Len(t, r.History().Versions, 2*3+4)
	require.Equal(t, 2, history.Summarize(r.History()).ByStatus[execution.Succeeded])
}

func TestWatchRecordsBatch(t *testing.T) {
	t.Parallel()
	f := strict.StartFirestore(t, firestoreemulator.Options{})
	s := store.New(f.Client)
	r, _ := history.Watch(t, f.Address(), emulatortest.Project)
	a := agent.Agent{Tenant: "ada", Name: "A", Instructions: "Echo", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, s.CreateAgent(t.Context(), &a, nil))
	b := batch.Batch{Tenant: "ada", ID: id.New(id.Batch), AgentID: a.ID, Total: 7}
	inputs := s.NewBatchInputWriter(b.Ref())
	for range b.Total {
		require.NoError(t, inputs.Add(t.Context(), batch.Input{Text: "x"}))
	}
	require.NoError(t, inputs.Flush(t.Context()))
	require.NoError(t, s.SubmitBatch(t.Context(), &b, nil))
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.Len(c, r.History().Versions, 1) }, time.Minute, 10*time.Millisecond)
	require.Empty(t, r.History().Undecodable)
	stored := r.History().Versions[0].Batch
	require.Equal(t, b.ID, stored.ID)
	require.Equal(t, []int{7, 0}, []int{stored.Total, stored.NextInput})
	require.Nil(t, stored.FinishedAt)
}
