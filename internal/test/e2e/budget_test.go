package e2e

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// An agent that never finishes is stopped by its own budget or the operator's,
// whichever is smaller. The stand-in for the model reports 120 tokens a call.
func TestBudgets(t *testing.T) {
	t.Parallel()
	model := modelstub.Start(modelstub.Always(modelstub.ToolUse("Bash", map[string]string{"command": "true", "description": "go on"})))
	t.Cleanup(model.Close)
	a := start(t, withClaude(model), func(d *dev.Config) { d.Executor.MaxTokens = 500 })
	for name, tc := range map[string]struct {
		budget  contract.Budget
		message string
	}{
		"its own, in tokens":       {contract.Budget{MaxTokens: 200}, "of 200 tokens"},
		"its own, in money":        {contract.Budget{MaxCostUsd: 0.001}, "of 0.0010 USD"},
		"the operator's":           {contract.Budget{}, "of 500 tokens"},
		"more than the operator's": {contract.Budget{MaxTokens: 1 << 40}, "of 500 tokens"},
		"fewer tokens, more money": {contract.Budget{MaxTokens: 100, MaxCostUsd: 1000}, "of 100 tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agent := a.createAgent(contract.CreateAgent{Name: name, Instructions: "x", Budget: tc.budget})
			require.Equal(t, tc.budget, agent.Budget)
			e := a.awaitExecution(a.runAgent(agent.Id, "go").ExecutionId)
			require.Equal(t, contract.FailureCodeBudgetExceeded, e.Error.Code, e.Error.Message)
			require.Contains(t, e.Error.Message, tc.message)
			require.Less(t, e.Usage.InputTokens+e.Usage.OutputTokens, int64(1000))

			var r receipt.Receipt
			require.NoError(t, json.Unmarshal(e.Receipt, &r))
			require.Equal(t, e.Usage.Calls, r.Egress.Calls)
			require.Positive(t, r.Egress.Denied)
			require.Positive(t, r.Egress.BytesSent)
		})
	}
}

func TestInvalidBudget(t *testing.T) {
	t.Parallel()
	a := start(t, func(d *dev.Config) { d.NoExecutor = true })
	for _, body := range []string{
		`{"name":"A","instructions":"B","budget":{"maxTokens":-1}}`,
		`{"name":"A","instructions":"B","budget":{"maxCostUsd":-0.5}}`,
		`{"name":"A","instructions":"B","budget":{"maxTokens":1.5}}`,
		`{"name":"A","instructions":"B","budget":{"tokens":1}}`,
	} {
		got := a.do(http.MethodPost, "/agents", jsonType, []byte(body))
		require.Equal(t, http.StatusBadRequest, got.StatusCode, body)
		require.Contains(t, string(got.body), "budget")
	}
}
