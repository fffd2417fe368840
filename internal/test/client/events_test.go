package client_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

func TestEventsResumeAfterInterruption(t *testing.T) {
	t.Parallel()
	a := startTestServer(t)
	agent, err := a.CreateAgent(t.Context(), counterAgent)
	require.NoError(t, err)
	accepted, err := a.Run(t.Context(), agent.Id, client.RunAgent{Input: "x"})
	require.NoError(t, err)
	ref := execution.Ref{Tenant: "local", ID: accepted.ExecutionId}
	_, err = a.store.Apply(t.Context(), ref, execution.Claimed{Executor: "x"})
	require.NoError(t, err)
	ending := execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "done"}}
	ending.Steps = []execution.Step{execution.NewStep(1, execution.StepOutput, "one"), execution.NewStep(2, execution.StepProgress, "two")}
	_, err = a.store.Apply(t.Context(), ref, execution.JobEnded{Attempt: 1, Ending: ending})
	require.NoError(t, err)

	var last []string
	a.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		last = append(last, r.Header.Get("Last-Event-ID"))
		if len(last) > 1 {
			return false
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ":\n\nid: 1-1-running\nevent: output\ndata: {\"attempt\":1,\"number\":1,\"text\":\"one\"}\n\nid: 1-2-run")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	var got []string
	for e, err := range a.Events(t.Context(), accepted.ExecutionId) {
		require.NoError(t, err)
		got = append(got, strings.TrimSpace(e.Kind+" "+string(e.Status.Status)+e.Step.Text))
	}
	require.Equal(t, []string{"output one", "progress two", "status succeeded"}, got)
	require.Equal(t, []string{"", "1-1-running"}, last)

	for _, err := range a.Events(t.Context(), "exe_000000000000000000000000") {
		require.True(t, client.IsNotFound(err))
	}
}

func TestChangesHaveBudgetWarnings(t *testing.T) {
	t.Parallel()
	a := startTestServer(t)
	first := make(chan client.Change, 1)
	go func() {
		for ch, err := range a.Changes(t.Context()) {
			if err == nil {
				first <- ch
			}
			return
		}
	}()
	require.Eventually(t, func() bool { // the process follows the tenant
		stored, err := a.store.Tenant(t.Context(), "local")
		return err == nil && len(stored.Watchers) == 1
	}, 20*time.Second, 10*time.Millisecond)
	now, err := a.store.Now(t.Context())
	require.NoError(t, err)
	w := usage.Warning{
		Tenant: "local", AgentID: "agt_1", Day: usage.DayOf(now), Level: usage.Soft, LimitUSD: 4, SoftLimit: 0.5, SpentUSD: 4.5,
	}
	created, err := a.store.CreateBudgetWarning(t.Context(), w, now)
	require.NoError(t, err)
	require.True(t, created)
	select {
	case ch := <-first:
		require.NotNil(t, ch.BudgetWarning)
		require.Equal(t, client.BudgetWarningEvent{
			Scope: client.BudgetScopeAgent, AgentId: "agt_1", Day: w.Day, LimitUsd: 4, SoftLimit: 0.5, SpentUsd: 4.5, At: ch.BudgetWarning.At,
		}, *ch.BudgetWarning)
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no change")
	}
}
