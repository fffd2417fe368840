package agentruntime

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/sandbox"
)

const citySchema = `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`

// runPrinted returns the outcome of a job that printed a text and exited with code 0.
func runPrinted(t *testing.T, entry catalog.Runtime, task execution.Task, stdout string) (*Run, *execution.Result, *execution.Failure) {
	t.Helper()
	entry.Name, entry.Image, entry.Argv = "r", "i", []string{"/agent"}
	run, failure := NewRegistry(Runtime{Runtime: entry}).Prepare(t.Context(), &execution.Execution{ID: "exe", ConversationID: "con", Task: task})
	require.Nil(t, failure)
	run.OnItem(func(transcript.Item) {})
	run.Job.OnStdout([]byte(stdout))
	result, failure := run.ParseOutcome(sandbox.Outcome{EndReason: sandbox.Exited, Stdout: []byte(stdout)})
	return run, result, failure
}

func TestAnswerMustMatchSchemaOfAgent(t *testing.T) {
	streamJSON := catalog.Runtime{Contract: catalog.StreamJSON, MaxTurns: 5}
	program := catalog.Runtime{Contract: catalog.Command, Output: catalog.JSON}
	said := `{"type":"assistant","message":{"content":[{"type":"text","text":"It is Bern."}]}}` + "\n"
	result := func(structured string) string {
		return said + `{"type":"result","subtype":"success","num_turns":1,"result":"It is Bern."` + structured + `}` + "\n"
	}
	for name, c := range map[string]struct {
		runtime catalog.Runtime
		stdout  string
		message string // empty: it matches
		partial string
	}{
		"match":             {streamJSON, result(`,"structured_output":{"city":"Bern"}`), "", ""},
		"no match":          {streamJSON, result(`,"structured_output":{"city":7}`), "the answer does not match the agent's schema: /city: got number, want string", "It is Bern.\n{\"city\":7}"},
		"none":              {streamJSON, result(""), "the agent answered without the structured output that its schema demands", "It is Bern."},
		"program, match":    {program, `{"city":"Bern"}`, "", ""},
		"program, no match": {program, `{"town":"Bern"}`, "the answer does not match the agent's schema: /: missing property 'city'", `{"town":"Bern"}`},
	} {
		t.Run(name, func(t *testing.T) {
			run, result, failure := runPrinted(t, c.runtime, execution.Task{Input: "x", Settings: agent.Settings{Schema: citySchema}}, c.stdout)
			if c.message == "" {
				require.Nil(t, failure)
				require.JSONEq(t, `{"city":"Bern"}`, result.Output)
				return
			}
			require.Equal(t, &execution.Failure{Code: execution.CodeInvalidResult, Message: c.message}, failure)
			require.Nil(t, result)
			require.Equal(t, c.partial, run.PartialText())
		})
	}
	_, builderResult, failure := runPrinted(t, streamJSON, execution.Task{Input: "x", Schema: conversation.BuilderSchema}, result(""))
	require.Nil(t, failure, "the agent builder accepts text")
	require.Equal(t, "It is Bern.", builderResult.Text)
}
