package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// An attempt stays in the list when a newer one starts.
func TestListAttempts(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ref := execution.Ref{Tenant: defaultTenant, ID: s.runAgent(s.createAgent().Id).ExecutionId}
	list := func() contract.AttemptList {
		return call[contract.AttemptList](s, "GET /executions/"+ref.ID+"/attempts", http.StatusOK, "")
	}
	require.Equal(t, contract.AttemptList{Attempts: []contract.Attempt{}}, list())

	first := s.startAttempt(ref, "x1")
	running := list()
	require.Len(t, running.Attempts, 1)
	require.Equal(t, contract.AttemptOutcomeRunning, running.Attempts[0].Outcome)
	require.Zero(t, running.Attempts[0].EndedAt)
	s.applyTo(ref, execution.HandedBack{Attempt: first, StartDelay: 2 * time.Second, Usage: execution.Usage{Calls: 3, InputTokens: 7, ModelWait: time.Minute}})
	second := s.startAttempt(ref, "x2")
	failed := (&execution.Failure{Code: execution.CodeAgentError, Message: "m"}).Ending(execution.Usage{Calls: 1, ModelWait: 1500 * time.Millisecond})
	s.applyTo(ref, execution.JobEnded{Attempt: second, Ending: failed})

	got := list()
	require.Zero(t, got.Omitted)
	require.Len(t, got.Attempts, 2)
	a, b := got.Attempts[0], got.Attempts[1]
	require.Equal(t, []any{1, "x1", contract.AttemptOutcomeHandedBack, int64(3), int64(7)},
		[]any{a.Number, a.Executor, a.Outcome, a.Usage.Calls, a.Usage.InputTokens})
	require.Equal(t, running.Attempts[0].ClaimedAt, a.ClaimedAt)
	require.Equal(t, a.ClaimedAt.Add(2*time.Second), a.StartedAt)
	require.False(t, a.EndedAt.Before(a.ClaimedAt))
	require.Equal(t, []any{2, "x2", contract.AttemptOutcomeFailed, contract.FailureCodeAgentError},
		[]any{b.Number, b.Executor, b.Outcome, b.Code})
	require.Zero(t, b.StartedAt, "it is not known")
	require.Equal(t, []string{"1m0s", "1.5s"}, []string{a.Usage.ModelWait, b.Usage.ModelWait})
	sum := call[contract.Execution](s, "GET /executions/"+ref.ID, http.StatusOK, "").Usage
	require.EqualValues(t, 4, sum.Calls)
	require.Equal(t, "1m1.5s", sum.ModelWait)
}

func (s server) startAttempt(ref execution.Ref, executor string) int {
	s.t.Helper()
	return s.applyTo(ref, execution.Claimed{Executor: executor}).Attempt
}

func (s server) applyTo(ref execution.Ref, ev execution.Event) execution.Execution {
	s.t.Helper()
	ch, err := s.store.Apply(s.t.Context(), ref, ev)
	require.NoError(s.t, err)
	return ch.Execution
}
