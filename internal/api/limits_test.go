package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestRunQueueTimeout(t *testing.T) {
	s := startServer(t)
	a := s.createAgent()
	queueTimeoutOf := func(body string) time.Duration {
		t.Helper()
		run := call[contract.AcceptedExecution](s, http.MethodPost, "/agents/"+a.Id+"/run", http.StatusAccepted, body)
		e := call[contract.Execution](s, http.MethodGet, run.Urls.Self, http.StatusOK, "")
		return e.StartDeadline.Sub(e.CreatedAt)
	}
	require.Equal(t, 10*time.Minute, queueTimeoutOf(`{"input":"x","queueTimeout":"10m"}`))
	require.Equal(t, 7*24*time.Hour, queueTimeoutOf(`{"input":"x","queueTimeout":"168h"}`))
	require.Equal(t, execution.DefaultQueueTimeout, queueTimeoutOf(`{"input":"x"}`))
	for _, bad := range []string{"0s", "999ms", "169h", "-1s", "soon"} {
		p := call[contract.Problem](s, http.MethodPost, "/agents/"+a.Id+"/run", http.StatusBadRequest, `{"input":"x","queueTimeout":"`+bad+`"}`)
		require.Equal(t, "queueTimeout", p.Errors[0].Field, bad)
	}
}

func TestAgentRetryPolicy(t *testing.T) {
	s := startServer(t)
	a := call[contract.Agent](s, http.MethodPost, "/agents", http.StatusCreated, `{"name":"A","instructions":"i","retry":{"maxAttempts":3}}`)
	require.Equal(t, 3, a.Retry.MaxAttempts)
	a = call[contract.Agent](s, http.MethodPatch, "/agents/"+a.Id, http.StatusOK, `{"name":"B"}`)
	require.Equal(t, 3, a.Retry.MaxAttempts)
	a = call[contract.Agent](s, http.MethodPatch, "/agents/"+a.Id, http.StatusOK, `{"retry":null}`)
	require.Zero(t, a.Retry)
	for _, bad := range []string{"0", "11", "-1", "1.5", `"2"`} {
		p := call[contract.Problem](s, http.MethodPost, "/agents", http.StatusBadRequest, `{"name":"A","instructions":"i","retry":{"maxAttempts":`+bad+`}}`)
		require.Equal(t, "retry.maxAttempts", p.Errors[0].Field, bad)
	}
}
