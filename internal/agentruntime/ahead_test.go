package agentruntime_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// start is what must be the same for a job to use an agent that was started before.
type start struct {
	Argv, Env []string
	Ahead     *sandbox.Ahead
}

func startOf(job *sandbox.Job) *start {
	if job == nil || job.Ahead == nil {
		return nil
	}
	return &start{job.Argv, job.Env, job.Ahead}
}

// An agent that was started without a task fits every task of a run, with whatever model, instructions and schema.
func TestOneStartFitsAllTasks(t *testing.T) {
	registry := claudeWithSummary(gateway.Summary{})
	generic := startOf(registry.All()[0].Ahead())
	require.NotNil(t, generic)
	require.Empty(t, generic.Ahead.Owner)
	for _, other := range []execution.Task{
		{Input: "x"}, {Input: "x", Instructions: "do it"}, {Input: "x", Model: "claude-haiku-4-5"}, {Input: "x", Schema: `{"type":"object"}`},
		{Input: "x", InputFileList: []execution.File{{Path: "data/CLAUDE.md"}}}, {Input: "x", Settings: agent.Settings{Schema: `{"type":"object"}`}},
	} {
		run, failure := registry.Prepare(t.Context(), task(other))
		require.Nil(t, failure)
		require.Equal(t, generic.Argv, run.Job.Argv)
		require.Equal(t, generic.Env, run.Job.Env)
	}
}

// A task that the agent has to know when it starts gets an agent of its own, of its tenant or its conversation.
func TestStartsOfOneTenant(t *testing.T) {
	registry := claudeWithSummary(gateway.Summary{})
	prepare := func(change func(e *execution.Execution)) *agentruntime.Run {
		e := task(execution.Task{Input: "x"})
		e.Tenant, e.ConversationID = "ada", "con_1"
		change(e)
		run, failure := registry.Prepare(t.Context(), e)
		require.Nil(t, failure)
		again := startOf(registry.PrepareStart(e))
		require.Equal(t, startOf(&run.Job), again, "PrepareStart starts the agent as the job does")
		return run
	}
	settings := prepare(func(e *execution.Execution) { e.Task.Settings = agent.Settings{Env: map[string]string{"A": "b"}} })
	require.Equal(t, "ada", settings.Job.Ahead.Owner)
	require.False(t, settings.Job.Ahead.Once)
	resumed := prepare(func(e *execution.Execution) { e.Task.History = history })
	require.Equal(t, "ada con_1", resumed.Job.Ahead.Owner)
	require.True(t, resumed.Job.Ahead.Once)
	workspace := prepare(func(e *execution.Execution) {
		e.Task.Workspace = &execution.Workspace{ExecutionID: "exe_1", Content: execution.Content{Size: 1}}
	})
	require.Equal(t, "ada con_1", workspace.Job.Ahead.Owner)
	for _, name := range []string{"CLAUDE.md", ".claude/agents/a.md", ".mcp.json", "AGENTS.md"} {
		run := prepare(func(e *execution.Execution) {
			e.Task.InputFileList, e.Task.History = []execution.File{{Path: name, FileID: "file_1"}}, history
		})
		require.Nil(t, run.Job.Ahead, "the agent reads %s when it starts", name)
		require.Len(t, run.Job.Files, 1, "the session is there all the same")
	}
}

// A runtime that does not say that its agents can be started ahead starts them with their jobs.
func TestRuntimeThatCannotStartAhead(t *testing.T) {
	offline := offlineRuntime("x")
	require.Nil(t, offline.Ahead())
	run, failure := agentruntime.NewRegistry(offline).Prepare(t.Context(), task(execution.Task{Input: "x"}))
	require.Nil(t, failure)
	require.Nil(t, run.Job.Ahead)
	offline.StartAhead = true
	require.NotNil(t, offline.Ahead())
}
