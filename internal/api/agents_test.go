package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestUpdateAgentMergesPatch(t *testing.T) {
	s := startServer(t)
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated,
		`{"name":"A","description":"d","instructions":"i","runtime":"claude","model":"m","timeout":"90s","budget":{"maxTokens":5,"maxCostUsd":0.5}}`)
	path := "/agents/" + a.Id
	patched := call[contract.Agent](s, "PATCH "+path, http.StatusOK,
		`{"name":"B","description":null,"runtime":null,"budget":{"maxTokens":null}}`, "Content-Type", "application/merge-patch+json")
	want := a
	want.Name, want.Description, want.Runtime, want.UpdatedAt = "B", "", "offline", patched.UpdatedAt
	want.Budget.MaxTokens, want.Version = 0, 2
	require.Equal(t, want, patched)
	require.True(t, patched.UpdatedAt.After(a.UpdatedAt))
	require.Equal(t, patched, call[contract.Agent](s, "GET "+path, http.StatusOK, ""))

	cleared := call[contract.Agent](s, "PATCH "+path, http.StatusOK, `{"budget":null,"timeout":null}`)
	require.Zero(t, cleared.Budget)
	require.Equal(t, "2m0s", cleared.Timeout)
}

func TestUpdateAgentRejectsInvalidPatch(t *testing.T) {
	s := startServer(t)
	a := s.createAgent()
	path := "/agents/" + a.Id
	for body, field := range map[string]string{
		`{"name":null}`: "name", `{"name":""}`: "name", `{"name":" "}`: "name", `{"instructions":7}`: "instructions", `{"runtime":"perl"}`: "runtime",
		`{"timeout":"2h"}`: "timeout", `{"budget":{"maxTokens":0}}`: "budget.maxTokens", `{"budget":{"maxCostUsd":-1}}`: "budget.maxCostUsd",
		`{"id":"agt_1"}`: "id", `{"createdAt":null}`: "createdAt", `[]`: "body", `null`: "body", `{"name":"a","name":"b"}`: "name",
	} {
		bad := call[contract.Problem](s, "PATCH "+path, http.StatusBadRequest, body)
		require.Equal(t, field, bad.Errors[0].Field, body)
	}
	require.Equal(t, http.StatusUnsupportedMediaType, s.do(http.MethodPatch, path, `{}`, "Content-Type", "text/plain").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodPatch, path, `{"name":"B"}`, "X-User-Id", "bob").StatusCode)
	require.Equal(t, a, call[contract.Agent](s, "GET "+path, http.StatusOK, ""))
}

// A cost outside the bounds is no limit in the nano-dollars that spending is counted in.
func TestAgentBudgetBounds(t *testing.T) {
	s := startServer(t)
	for _, field := range []string{"budget.maxCostUsd", "dailyBudget.usd", "dailyBudget.softUsd"} {
		object, member, _ := strings.Cut(field, ".")
		budget := func(usd string) string { return `"` + object + `":{"` + member + `":` + usd + `}}` }
		var path string
		for _, usd := range []string{"0.000001", "1000000000"} {
			path = "/agents/" + call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"i",`+budget(usd)).Id
		}
		for usd, detail := range map[string]string{
			"0": "must be at least 0.000001", "1e-12": "must be at least 0.000001", "-1": "must be at least 0.000001",
			"1e308": "must be at most 1000000000", "1000000000.5": "must be at most 1000000000",
		} {
			want := []contract.FieldError{{Field: field, Detail: detail}}
			require.Equal(t, want, call[contract.Problem](s, "POST /agents", http.StatusBadRequest, `{"name":"A","instructions":"i",`+budget(usd)).Errors, usd)
			require.Equal(t, want, call[contract.Problem](s, "PATCH "+path, http.StatusBadRequest, "{"+budget(usd)).Errors, usd)
		}
	}
}

func TestDeleteAgentKeepsExecutions(t *testing.T) {
	s := startServer(t)
	a := s.createAgent()
	e := s.runAgent(a.Id)
	path := "/agents/" + a.Id
	require.Equal(t, http.StatusNotFound, s.do(http.MethodDelete, path, "", "X-User-Id", "bob").StatusCode)
	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, path, "").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodDelete, path, "").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, path, "").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodPost, path+"/run", `{"input":"x"}`).StatusCode)
	require.Equal(t, contract.StatusQueued, call[contract.Execution](s, "GET "+e.Urls.Self, http.StatusOK, "").Status)
}

func TestRunQueueTimeout(t *testing.T) {
	s := startServer(t)
	a := s.createAgent()
	queueTimeoutOf := func(body string) time.Duration {
		t.Helper()
		run := call[contract.AcceptedExecution](s, "POST /agents/"+a.Id+"/run", http.StatusAccepted, body)
		e := call[contract.Execution](s, "GET "+run.Urls.Self, http.StatusOK, "")
		return e.StartDeadline.Sub(e.CreatedAt)
	}
	require.Equal(t, 10*time.Minute, queueTimeoutOf(`{"input":"x","queueTimeout":"10m"}`))
	require.Equal(t, 7*24*time.Hour, queueTimeoutOf(`{"input":"x","queueTimeout":"168h"}`))
	require.Equal(t, execution.DefaultQueueTimeout, queueTimeoutOf(`{"input":"x"}`))
	for _, bad := range []string{"0s", "999ms", "169h", "-1s", "soon"} {
		p := call[contract.Problem](s, "POST /agents/"+a.Id+"/run", http.StatusBadRequest, `{"input":"x","queueTimeout":"`+bad+`"}`)
		require.Equal(t, "queueTimeout", p.Errors[0].Field, bad)
	}
}

func TestAgentRetryPolicy(t *testing.T) {
	s := startServer(t)
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"i","retry":{"maxAttempts":3}}`)
	require.Equal(t, 3, a.Retry.MaxAttempts)
	a = call[contract.Agent](s, "PATCH /agents/"+a.Id, http.StatusOK, `{"name":"B"}`)
	require.Equal(t, 3, a.Retry.MaxAttempts)
	a = call[contract.Agent](s, "PATCH /agents/"+a.Id, http.StatusOK, `{"retry":null}`)
	require.Zero(t, a.Retry)
	for _, bad := range []string{"0", "11", "-1", "1.5", `"2"`} {
		p := call[contract.Problem](s, "POST /agents", http.StatusBadRequest, `{"name":"A","instructions":"i","retry":{"maxAttempts":`+bad+`}}`)
		require.Equal(t, "retry.maxAttempts", p.Errors[0].Field, bad)
	}
}
