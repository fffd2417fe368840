package agentruntime_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
)

const sessionLine = `{"type":"user","message":{"role":"user"}}` + "\n"

// An agent session is stored only if a later turn can use it.
func TestExtractSession(t *testing.T) {
	registry := claudeWithSummary(gateway.Summary{})
	run, failure := registry.Prepare(t.Context(), task(execution.Task{Input: "x", Model: "claude-opus-4-5"}))
	require.Nil(t, failure)
	require.Len(t, run.Job.Collect, 1)
	path := run.Job.Collect[0]
	for name, c := range map[string]struct {
		path, data string
		stored     bool
	}{
		"its session":      {path, sessionLine, true},
		"half a surrogate": {path, `{"text":"\ud83d"}` + "\n", true},
		"another file":     {"/workspace/out/x.jsonl", sessionLine, false},
		"an empty file":    {path, "", false},
		"an empty line":    {path, "\n", false},
		"text":             {path, "hello\n", false},
		"a list":           {path, "[]\n", false},
		"a truncated line": {path, sessionLine + `{"type":`, false},
		"invalid UTF-8":    {path, "{\"a\":\"\xff\"}\n", true},
		"10,000 deep":      {path, `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}\n", false},
		"of the largest size": {
			path, `{"a":"` + strings.Repeat("x", execution.MaxAgentSessionBytes-9) + `"}` + "\n", true,
		},
		"too large": {path, `{"a":"` + strings.Repeat("x", execution.MaxAgentSessionBytes) + `"}` + "\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			o := exitedOutcome(0, good)
			o.Files = []sandbox.OutputFile{{Path: c.path, Content: io.NewSectionReader(strings.NewReader(c.data), 0, int64(len(c.data)))}}
			session := run.ExtractSession(o)
			if !c.stored {
				require.Nil(t, session)
				return
			}
			require.Equal(t, &execution.AgentSession{Runtime: "claude", Model: "claude-opus-4-5", Data: []byte(c.data)}, session)
		})
	}
	require.Nil(t, run.ExtractSession(exitedOutcome(0, good)), "no files at all")
}

// The agent resumes from the stored agent session if it is of the same runtime and model, or else from the messages.
func TestSessionResumedForSameRuntimeAndModel(t *testing.T) {
	history := []execution.Message{{Role: execution.RoleUser, Text: "hi"}, {Role: execution.RoleAssistant, Text: "ho"}}
	session := func(runtimeName, model string) *execution.AgentSession {
		return &execution.AgentSession{Runtime: runtimeName, Model: model, Data: []byte(sessionLine)}
	}
	for name, c := range map[string]struct {
		task    execution.Task
		resumes bool
		stored  bool // from the stored session
	}{
		"the same":           {execution.Task{History: history, Session: session("claude", "claude-sonnet-4-6")}, true, true},
		"of another model":   {execution.Task{History: history, Session: session("claude", "claude-opus-4-5")}, true, false},
		"of another runtime": {execution.Task{History: history, Session: session("codex", "claude-sonnet-4-6")}, true, false},
		"none":               {execution.Task{History: history}, true, false},
		"of a first message": {execution.Task{Session: session("claude", "claude-sonnet-4-6")}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.task.Input = "x"
			e := task(c.task)
			e.ConversationID = "con_1"
			run, failure := claudeWithSummary(gateway.Summary{}).Prepare(t.Context(), e)
			require.Nil(t, failure)
			if !c.resumes {
				require.Contains(t, run.Job.Argv, "--session-id")
				require.Empty(t, run.Job.Files)
				return
			}
			require.Contains(t, run.Job.Argv, "--resume")
			require.Equal(t, run.Job.Collect, []string{run.Job.Files[0].Path}, "the agent writes the session to the path where it found it")
			require.Equal(t, c.stored, string(run.Job.Files[0].Data) == sessionLine)
		})
	}
}

// All turns of a conversation have the same session ID. Other conversations have other IDs.
func TestSessionIDIsPerConversation(t *testing.T) {
	path := func(execution, conversation string) string {
		e := task(executionTask)
		e.ID, e.ConversationID = execution, conversation
		run, failure := claudeWithSummary(gateway.Summary{}).Prepare(t.Context(), e)
		require.Nil(t, failure)
		return run.Job.Collect[0]
	}
	require.Equal(t, path("exe_1", "con_1"), path("exe_2", "con_1"))
	require.NotEqual(t, path("exe_1", "con_1"), path("exe_1", "con_2"))
	require.NotEqual(t, path("exe_1", ""), path("exe_2", ""))
}

var executionTask = execution.Task{Input: "x"}
