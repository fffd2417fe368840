package api

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// A queued execution says when no living executor can start its runtime.
func TestQueuedExecutionWaitsForExecutor(t *testing.T) {
	t.Parallel()
	var startable []string
	s := startServer(t, func(c *Config, _ *store.Store) {
		c.StartableRuntimes = func(context.Context) []string { return startable }
	})
	path := "/executions/" + s.runAgent(s.createAgent().Id).ExecutionId
	for _, c := range []struct {
		startable []string
		want      contract.WaitingFor
	}{{nil, ""}, {[]string{}, contract.WaitingForExecutor}, {[]string{"another"}, contract.WaitingForExecutor}, {[]string{"offline"}, ""}} {
		startable = c.startable
		require.Equal(t, c.want, call[contract.Execution](s, "GET "+path, http.StatusOK, "").WaitingFor, "%q", c.startable)
		listed := call[contract.ExecutionList](s, "GET /executions", http.StatusOK, "").Executions
		require.Equal(t, c.want, listed[0].WaitingFor)
	}
	startable = []string{}
	canceled := call[contract.Execution](s, "POST "+path+"/cancel", http.StatusAccepted, "")
	require.Empty(t, canceled.WaitingFor)
	require.Empty(t, call[contract.Execution](s, "GET "+path, http.StatusOK, "").WaitingFor, "it has ended")
}

// A queued execution says when its agent has used up its daily budget.
func TestQueuedExecutionWaitsForBudget(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"x","dailyBudget":{"usd":1}}`)
	e := s.runAgent(a.Id)
	path := "GET /executions/" + e.ExecutionId
	require.Empty(t, call[contract.Execution](s, path, http.StatusOK, "").WaitingFor)
	s.apply(execution.Ref{Tenant: defaultTenant, ID: e.ExecutionId}, execution.Deferred{Until: time.Now().Add(time.Hour)})
	require.Equal(t, contract.WaitingForBudget, call[contract.Execution](s, path, http.StatusOK, "").WaitingFor)
}
