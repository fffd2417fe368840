package agentruntime_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
)

// The test puts a mark into every text of a tenant and checks where the mark appears.
func TestArgvHoldsNothingOfTask(t *testing.T) {
	const mark = "\u2620mark"
	marked := rapid.Map(rapid.String(), func(s string) string { return s + mark })
	rapid.Check(t, func(t *rapid.T) {
		input := execution.Task{Input: marked.Draw(t, "input"), Instructions: marked.Draw(t, "instructions")}
		for range rapid.IntRange(0, 3).Draw(t, "turns") {
			input.History = append(input.History,
				execution.Message{Role: execution.RoleUser, Text: marked.Draw(t, "message")},
				execution.Message{Role: execution.RoleAssistant, Text: marked.Draw(t, "reply")})
		}
		if rapid.Bool().Draw(t, "with a schema") {
			input.Schema = `{"description":"` + mark + `"}`
		}
		for _, registry := range []*agentruntime.Registry{agentruntime.NewRegistry(offlineRuntime("x")), claudeWithSummary(gateway.Summary{})} {
			run, failure := registry.Prepare(t.Context(), task(input))
			require.Nil(t, failure)
			for _, arg := range append(run.Job.Argv, run.Job.Env...) {
				require.NotContains(t, arg, mark)
			}
			got, err := streamjson.ReadInput(bytes.NewReader(run.Job.Stdin))
			require.NoError(t, err)
			require.Equal(t, streamjson.Input{Prompt: input.Input, Instructions: input.Instructions, Schema: input.Schema}, got)
			for _, f := range startFiles(run) {
				require.True(t, strings.HasPrefix(f.Path, "/home/agent/"), f.Path)
				require.NotContains(t, f.Path, mark)
				require.EqualValues(t, 0o600, f.Mode)
			}
		}
	})
}

func TestClaudeEnvironment(t *testing.T) {
	run, failure := claudeWithSummary(gateway.Summary{}).Prepare(t.Context(), task(execution.Task{Input: "x", Model: "claude-haiku-4-5"}))
	require.Nil(t, failure)
	require.Contains(t, run.Job.Env, "ANTHROPIC_BASE_URL=http://127.0.0.1:8787")
	require.Contains(t, run.Job.Env, "CLAUDE_CODE_MAX_RETRIES=2")
	require.Contains(t, run.Job.Env, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1")
	require.Contains(t, run.Job.Env, "CLAUDE_CODE_SUBAGENT_MODEL=claude-sonnet-4-6", "the default model, with which every agent starts")
	input, err := streamjson.ReadInput(bytes.NewReader(run.Job.Stdin))
	require.NoError(t, err)
	require.Equal(t, "claude-haiku-4-5", input.ModelEnv["CLAUDE_CODE_SUBAGENT_MODEL"])
}

func TestAllListsEveryRuntime(t *testing.T) {
	var names []string
	for _, r := range agentruntime.NewRegistry(offlineRuntime("x"), claudeRuntime("y", nil)).All() {
		names = append(names, r.Name)
	}
	require.Equal(t, []string{"offline", "claude"}, names)
}
