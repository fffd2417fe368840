package blob

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// EncodeResult gives a whole result the form in which it is stored and handed
// out: the JSON object Result of the API's contract.
func EncodeResult(r *execution.Result) ([]byte, error) {
	form := struct {
		Text       string         `json:"text"`
		Output     jsontext.Value `json:"output,omitzero"`
		AgentDraft *agent.Draft   `json:"agentDraft,omitzero"`
	}{Text: r.Text, AgentDraft: r.AgentDraft}
	if r.Output != "" {
		form.Output = jsontext.Value(r.Output)
	}
	return json.Marshal(form, jsontext.AllowInvalidUTF8(true))
}
