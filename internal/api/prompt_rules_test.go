package api

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/promptrules"
	"github.com/airlock-run/airlock/internal/store"
)

func loadPromptRules(t *testing.T, yaml string) promptrules.Rules {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o600))
	rules, err := promptrules.Load(file)
	require.NoError(t, err)
	return rules
}

func TestPromptRulesAreEnforced(t *testing.T) {
	s := startServer(t, func(c *Config, _ *store.Store) {
		c.PromptRules = loadPromptRules(t, `[{name: no cards, pattern: '\b\d{16}\b'}]`)
	})
	agent := s.createAgent()
	const card = "4111111111111111"
	for _, request := range [][3]string{
		{http.MethodPost, "/api/conversation", `{"message":"pay with ` + card + `"}`},
		{http.MethodPost, "/agents/" + agent.Id + "/run", `{"input":"` + card + `"}`},
		{http.MethodPost, "/agents", `{"name":"B","instructions":"Use ` + card + `"}`},
		{http.MethodPost, "/agents", agentBody(`"skills":[{"name":"a","files":[{"path":"SKILL.md","content":"Use ` + card + `"}]}]`)},
		{http.MethodPatch, "/agents/" + agent.Id, `{"instructions":"Use ` + card + `"}`},
		{http.MethodPost, "/agents/" + agent.Id + "/batches", "\"fine\"\n\"" + card + "\"\n"},
	} {
		header := []string{}
		if strings.HasSuffix(request[1], "/batches") {
			header = []string{"Content-Type", "application/jsonl"}
		}
		got := s.do(request[0], request[1], request[2], header...)
		require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode, "%s: %s", request[1], got.body)
		require.Contains(t, decodeProblem(t, got).Detail, `"no cards"`)
		require.NotContains(t, string(got.body), card)
	}
	require.NotContains(t, string(s.do(http.MethodGet, "/executions", "").body), "exe_")
	require.NotContains(t, string(s.do(http.MethodGet, "/batches", "").body), "bat_")
}

// A rule that is newer than an execution applies to its retry.
func TestPromptRulesApplyToRetries(t *testing.T) {
	s := startServer(t)
	agent := s.createAgent()
	run, batch := s.runAgent(agent.Id), createFailedBatch(t, s, agent.Id)
	s.do(http.MethodPost, run.Urls.Cancel, "")
	turn := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"x"}`)
	s.do(http.MethodPost, turn.Urls.Cancel, "")
	retries := []string{"/executions/" + run.ExecutionId + "/retry", "/executions/" + turn.ExecutionId + "/retry", "/batches/" + batch + "/retry"}

	s.config.PromptRules = loadPromptRules(t, `[{name: nothing, pattern: '.'}]`)
	listed := s.do(http.MethodGet, "/executions?limit=100", "").body
	for _, path := range retries {
		got := s.do(http.MethodPost, path, "")
		require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode, "%s: %s", path, got.body)
		require.Equal(t, contract.ProblemPromptDenied, decodeProblem(t, got).Code)
		require.Contains(t, decodeProblem(t, got).Detail, `"nothing"`)
	}
	require.Equal(t, string(listed), string(s.do(http.MethodGet, "/executions?limit=100", "").body), "no execution was created")
	require.Len(t, call[contract.BatchList](s, "GET /batches", http.StatusOK, "").Batches, 1)

	s.config.PromptRules = nil
	for _, path := range retries {
		require.Equal(t, http.StatusAccepted, s.do(http.MethodPost, path, "").StatusCode, path)
	}
}
