package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestSubmitRunCopiesAgent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "one two"})
	require.NoError(t, err)
	e := f.getExecution(t, ch.Execution.Ref())
	require.Equal(t, []execution.Ref{e.Ref()}, madeReady(ch))
	require.Equal(t, execution.KindRun, e.Kind)
	require.Equal(t, execution.Queued, e.Status)
	require.Equal(t, a.ID, e.AgentID)
	require.Equal(t, a.Timeout, e.Timeout)
	require.Equal(t, execution.Task{Runtime: a.Runtime, Model: a.Model, Instructions: a.Instructions, Input: "one two"}, e.Task)

	ch, err = f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x", Timeout: time.Second})
	require.NoError(t, err)
	require.Equal(t, time.Second, f.getExecution(t, ch.Execution.Ref()).Timeout)
}

func TestSubmitRunUnknownAgent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: "agt_none", Input: "x"})
	require.Equal(t, &NotFoundError{Resource: "agent", ID: "agt_none"}, err)
	list, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
}

// A task has the budget that the agent had when the run was accepted.
func TestTaskCopiesAgentBudget(t *testing.T) {
	f := newFixture(t)
	a := f.createAgent(t, ada)
	a.Budget.MaxTokens, a.Budget.MaxCostUSD = 100, 0.5
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	stored, err := f.Execution(t.Context(), ch.Execution.Ref())
	require.NoError(t, err)
	require.Equal(t, a.Budget, stored.Task.Budget)
}
