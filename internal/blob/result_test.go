package blob

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// What is stored is handed out as it is, so it has to be what the contract says.
func TestEncodeResultMatchesContract(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]execution.Result{
		`{"text":"hi"}`:                         {Text: "hi"},
		`{"text":"<a&b> \u2028 세상"}`:            {Text: "<a&b> \u2028 세상"},
		`{"text":"{\"a\":1}","output":{"a":1}}`: {Text: `{"a":1}`, Output: `{"a":1}`},
		`{"text":"","agentDraft":{"name":"N","instructions":"I","model":"m"}}`: {AgentDraft: &agent.Draft{Name: "N", Instructions: "I", Model: "m"}},
	} {
		got, err := EncodeResult(&r)
		require.NoError(t, err)
		require.JSONEq(t, want, string(got))
		var read contract.Result
		require.NoError(t, json.Unmarshal(got, &read))
		require.Equal(t, r.Text, read.Text)
	}
}
