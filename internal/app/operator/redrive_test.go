package operator

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

// What is redriven waits for the dispatcher of its tenant, which is told once.
func TestRedriveWakesDispatchers(t *testing.T) {
	t.Parallel()
	f := strict.StartFirestore(t, firestoreemulator.Options{})
	s := store.New(f.Client)
	owners := make([]string, fleet.Partitions)
	for i := range owners {
		owners[i] = "prc_1"
	}
	_, err := s.WriteFleet(t.Context(), fleet.Fleet{Leader: "prc_1", Owners: owners}, time.Time{})
	require.NoError(t, err)
	var failed []execution.Ref
	for _, tenant := range []string{"ada", "ada", "bob"} {
		a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
		require.NoError(t, s.CreateAgent(t.Context(), &a, nil))
		ch, err := s.SubmitRun(t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x"})
		require.NoError(t, err)
		_, err = s.Apply(t.Context(), ch.Execution.Ref(), execution.DeadLettered{})
		require.NoError(t, err)
		failed = append(failed, ch.Execution.Ref())
	}

	woken := make(chan string, 10)
	inbox := s.OpenInbox("prc_1", func(sig signal.Signal) { woken <- string(sig.Kind) + " " + sig.Tenant })
	go func() { _ = inbox.Receive(t.Context()) }() // it ends with the test
	redrive := Redrive{
		Services: config.Services{Project: emulatortest.Project, FirestoreHost: f.Address()},
		Codes:    []execution.Code{execution.CodeDeadLettered}, MaxAge: time.Hour,
	}
	retries := map[execution.Ref]string{}
	require.NoError(t, redrive.Run(t.Context(), func(original execution.Ref, retryID string, err error) {
		require.NoError(t, err)
		retries[original] = retryID
	}))
	require.Len(t, retries, len(failed))
	for _, ref := range failed {
		e, err := s.Execution(t.Context(), execution.Ref{Tenant: ref.Tenant, ID: retries[ref]})
		require.NoError(t, err)
		require.Equal(t, execution.Queued, e.Status)
		require.False(t, e.Ready, "the dispatcher publishes it")
	}
	require.ElementsMatch(t, []string{"wake ada", "wake bob"}, []string{<-woken, <-woken})

	redrive.DryRun = true
	require.NoError(t, redrive.Run(t.Context(), func(_ execution.Ref, retryID string, _ error) { require.Empty(t, retryID) }))
	require.Empty(t, woken)
}

// A selection that can match nothing, or more than was meant, is refused.
func TestRedriveChecksSelection(t *testing.T) {
	t.Parallel()
	valid := Redrive{Codes: []execution.Code{execution.CodeNoExecutor}, Tenant: "ada", MaxAge: time.Hour}
	require.NoError(t, valid.CheckSelection())
	all := valid
	all.Tenant = ""
	require.NoError(t, all.CheckSelection())
	err := Redrive{Codes: []execution.Code{"no_executer", ""}, Tenant: "../ada", MaxAge: -time.Hour}.CheckSelection()
	for _, mistake := range []string{`"no_executer" is not a failure code: they are [agent_error`, `"" is not a failure code`, `"../ada" is not a valid tenant`, "-1h0m0s"} {
		require.ErrorContains(t, err, mistake)
	}
	require.ErrorContains(t, Redrive{MaxAge: time.Hour}.CheckSelection(), "no failure code")
}

func TestRedriveKnowsAllCodes(t *testing.T) {
	t.Parallel()
	var document struct {
		Components struct {
			Schemas struct {
				FailureCode struct {
					Enum []execution.Code `json:"enum"`
				} `json:"FailureCode"`
			} `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(contract.JSON(), &document))
	require.ElementsMatch(t, document.Components.Schemas.FailureCode.Enum, redriveCodes)
}
