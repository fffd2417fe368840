package api

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

func TestUpdateAgentMergesPatch(t *testing.T) {
	s := startServer(t)
	a := call[contract.Agent](s, http.MethodPost, "/agents", http.StatusCreated,
		`{"name":"A","description":"d","instructions":"i","runtime":"claude","model":"m","timeout":"90s","budget":{"maxTokens":5,"maxCostUsd":0.5}}`)
	path := "/agents/" + a.Id
	patched := call[contract.Agent](s, http.MethodPatch, path, http.StatusOK,
		`{"name":"B","description":null,"runtime":null,"budget":{"maxTokens":null}}`, "Content-Type", "application/merge-patch+json")
	want := a
	want.Name, want.Description, want.Runtime, want.UpdatedAt = "B", "", "offline", patched.UpdatedAt
	want.Budget.MaxTokens = 0
	require.Equal(t, want, patched)
	require.True(t, patched.UpdatedAt.After(a.UpdatedAt))
	require.Equal(t, patched, call[contract.Agent](s, http.MethodGet, path, http.StatusOK, ""))

	cleared := call[contract.Agent](s, http.MethodPatch, path, http.StatusOK, `{"budget":null,"timeout":null}`)
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
		bad := call[contract.Problem](s, http.MethodPatch, path, http.StatusBadRequest, body)
		require.Equal(t, field, bad.Errors[0].Field, body)
	}
	require.Equal(t, http.StatusUnsupportedMediaType, s.do(http.MethodPatch, path, `{}`, "Content-Type", "text/plain").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodPatch, path, `{"name":"B"}`, "X-User-Id", "bob").StatusCode)
	require.Equal(t, a, call[contract.Agent](s, http.MethodGet, path, http.StatusOK, ""))
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
	require.Equal(t, contract.StatusQueued, call[contract.Execution](s, http.MethodGet, e.Urls.Self, http.StatusOK, "").Status)
}
