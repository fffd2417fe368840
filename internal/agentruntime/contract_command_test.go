package agentruntime_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// commandRegistry returns a registry with one runtime of the command contract.
func commandRegistry(change func(*catalog.Runtime)) *agentruntime.Registry {
	entry := catalog.Runtime{Name: "program", Image: "image", Contract: catalog.Command, Argv: []string{"/bin/agent", "--model={model}"}}
	if change != nil {
		change(&entry)
	}
	return agentruntime.NewRegistry(agentruntime.FromCatalog(entry, nil))
}

func TestCommandReceivesTask(t *testing.T) {
	registry := commandRegistry(func(r *catalog.Runtime) {
		r.Models, r.ModelEnv, r.Env = []string{"small", "large"}, []string{"MODEL"}, map[string]string{"B": "2", "A": "1"}
		r.Limits = catalog.Limits{Memory: 1 << 28, CPUs: 2, PIDs: 9, Output: 1 << 20}
		r.MaxTimeout, r.IdleTimeout = catalog.Duration(30*time.Second), catalog.Duration(5*time.Second)
	})
	run, failure := registry.Prepare(t.Context(), task(execution.Task{
		Input: "/help --version", Model: "large", Instructions: "be brief", Schema: `{"type":"object"}`,
		History: []execution.Message{{Role: execution.RoleUser, Text: "hi"}, {Role: execution.RoleAssistant, Text: "<ho>"}},
	}))
	require.Nil(t, failure)
	const files = "/home/agent/.airlock/"
	require.Empty(t, cmp.Diff(sandbox.Job{
		Execution: "exe_1", Image: "image", Argv: []string{"/bin/agent", "--model=large"},
		Env: []string{
			"A=1", "B=2", "MODEL=large", "AIRLOCK_INSTRUCTIONS=" + files + "instructions.md", "AIRLOCK_SCHEMA=" + files + "schema.json",
			"AIRLOCK_HISTORY=" + files + "history.json", "AIRLOCK_MODEL=large",
		},
		Stdin: []byte("/help --version"),
		Files: []sandbox.File{
			{Path: files + "instructions.md", Mode: 0o600, Data: []byte("be brief")},
			{Path: files + "schema.json", Mode: 0o600, Data: []byte(`{"type":"object"}`)},
			{Path: files + "history.json", Mode: 0o600, Data: []byte(`[{"role":"user","text":"hi"},{"role":"assistant","text":"\u003cho\u003e"}]`)},
		},
		Timeout: 30 * time.Second, IdleTimeout: 5 * time.Second,
		Limits: sandbox.Limits{Memory: 1 << 28, CPUs: 2, PIDs: 9, Output: 1 << 20},
	}, run.Job))
}

func TestCommandInstructionsPath(t *testing.T) {
	run, failure := commandRegistry(func(r *catalog.Runtime) { r.Argv, r.InstructionsPath = []string{"codex"}, "/workspace/AGENTS.md" }).
		Prepare(t.Context(), task(execution.Task{Input: "x", Instructions: "be brief"}))
	require.Nil(t, failure)
	require.Equal(t, "/workspace/AGENTS.md", run.Job.Files[0].Path)
	require.Equal(t, []string{"AIRLOCK_INSTRUCTIONS=/workspace/AGENTS.md"}, run.Job.Env)
}

// A prompt never becomes a flag or a shell command.
func TestCommandArgvHoldsNoTaskText(t *testing.T) {
	registry := commandRegistry(func(r *catalog.Runtime) { r.Models = []string{"m"} })
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"--help", "-c", "$(id)", "`id`", "'; rm -rf / #", "{model}", "\x00", "\n"}))
		input := execution.Task{Input: text.Draw(t, "input"), Instructions: text.Draw(t, "instructions"), Schema: text.Draw(t, "schema")}
		run, failure := registry.Prepare(t.Context(), task(input))
		require.Nil(t, failure)
		require.Equal(t, []string{"/bin/agent", "--model=m"}, run.Job.Argv)
		require.Equal(t, input.Input, string(run.Job.Stdin))
		for _, variable := range run.Job.Env {
			_, value, _ := strings.Cut(variable, "=")
			require.True(t, value == "m" || strings.HasPrefix(value, "/home/agent/.airlock/"), variable)
		}
	})
}

func TestCommandResults(t *testing.T) {
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for name, c := range map[string]struct {
		json    bool
		outcome sandbox.Outcome
		want    *execution.Result
		code    execution.Code
		says    string
	}{
		"text":                      {outcome: exitedOutcome(0, "\n  hello\r\n\n"), want: &execution.Result{Text: "\n  hello"}},
		"text that looks like JSON": {outcome: exitedOutcome(0, `{"a":1}`), want: &execution.Result{Text: `{"a":1}`}},
		"white space":               {outcome: exitedOutcome(0, " \n"), code: execution.CodeInvalidResult, says: "without an answer"},
		"bad UTF-8":                 {outcome: exitedOutcome(0, "a\xffb"), code: execution.CodeInvalidResult, says: "UTF-8"},
		"a NUL":                     {outcome: exitedOutcome(0, "a\x00b"), code: execution.CodeInvalidResult, says: "NUL"},
		"exit code 1":               {outcome: exitedOutcome(1, "hello"), code: execution.CodeAgentError, says: "exited with code 1"},
		"more than is stored":       {outcome: sandbox.Outcome{EndReason: sandbox.Exited, Stdout: []byte("he"), Truncated: true}, code: execution.CodeOutputLimit, says: "more than 4194304 bytes"},
		"more than is allowed":      {outcome: sandbox.Outcome{EndReason: sandbox.OutputLimit}, code: execution.CodeOutputLimit, says: "more than 256 MiB"},
		"idle time-out":             {outcome: sandbox.Outcome{EndReason: sandbox.NoOutput}, code: execution.CodeTimedOut, says: "wrote nothing for 5s"},
		"a document":                {json: true, outcome: exitedOutcome(0, "{\"a\": 1}\n"), want: &execution.Result{Text: `{"a": 1}`, Output: `{"a": 1}`}},
		"a bare number":             {json: true, outcome: exitedOutcome(0, "7"), want: &execution.Result{Text: "7", Output: "7"}},
		"two documents":             {json: true, outcome: exitedOutcome(0, `{"a":1}{"a":2}`), code: execution.CodeInvalidResult, says: "after its end"},
		"two lines of documents":    {json: true, outcome: exitedOutcome(0, "{}\n{}"), code: execution.CodeInvalidResult, says: "after its end"},
		"a document and text":       {json: true, outcome: exitedOutcome(0, "{}\ndone"), code: execution.CodeInvalidResult, says: "after its end"},
		"text as JSON":              {json: true, outcome: exitedOutcome(0, "done"), code: execution.CodeInvalidResult, says: "not one JSON document"},
		"a duplicate name":          {json: true, outcome: exitedOutcome(0, `{"ok":false,"ok":true}`), code: execution.CodeInvalidResult, says: "duplicate"},
		"10,000 deep":               {json: true, outcome: exitedOutcome(0, deep), code: execution.CodeInvalidResult, says: "128 nested levels"},
		"a document with bad UTF-8": {json: true, outcome: exitedOutcome(0, "\"\xff\""), code: execution.CodeInvalidResult, says: "invalid UTF-8"},
		"success, with exit code 1": {json: true, outcome: exitedOutcome(1, `{"status":"success"}`), code: execution.CodeAgentError, says: "exited with code 1"},
		"success, a killed child":   {outcome: outOfMemoryChild(0, "done"), want: &execution.Result{Text: "done"}},
		"failure, a killed child":   {outcome: outOfMemoryChild(1, "done"), code: execution.CodeOutOfMemory, says: "1024 MiB of memory"},
		"no result, a killed child": {outcome: outOfMemoryChild(0, ""), code: execution.CodeOutOfMemory, says: "1024 MiB of memory"},
		"init killed":               {outcome: sandbox.Outcome{EndReason: sandbox.Tampered, Stdout: []byte("done")}, code: execution.CodeAgentError, says: "first process of its sandbox"},
		"success, out of memory":    {json: true, outcome: sandbox.Outcome{EndReason: sandbox.OutOfMemory, Stdout: []byte("{}")}, code: execution.CodeOutOfMemory, says: "memory"},
	} {
		t.Run(name, func(t *testing.T) {
			run, failure := commandRegistry(func(r *catalog.Runtime) {
				r.Argv, r.IdleTimeout = []string{"x"}, catalog.Duration(5*time.Second)
				if c.json {
					r.Output = catalog.JSON
				}
			}).Prepare(t.Context(), task(execution.Task{Input: "x"}))
			require.Nil(t, failure)
			result, failure := run.ParseOutcome(c.outcome)
			require.Equal(t, c.want, result)
			if c.want != nil {
				require.Nil(t, failure)
				return
			}
			require.Equal(t, c.code, failure.Code)
			require.Contains(t, failure.Message, c.says)
			require.Less(t, len(failure.Message), 700)
		})
	}
}

// If the model did not answer, that is the reason of the failure, whatever the program prints.
func TestCommandModelFailure(t *testing.T) {
	entry := catalog.Runtime{Name: "p", Image: "i", Contract: catalog.Command, Argv: []string{"x"}, Models: []string{"m"}}
	r := agentruntime.FromCatalog(entry, nil)
	r.OpenEgress = func(context.Context, *execution.Execution, string, *forward.Door) agentruntime.Egress {
		return fakeEgress{gateway.Summary{Calls: 1, LastStatus: 429}}
	}
	run, failure := agentruntime.NewRegistry(r).Prepare(t.Context(), task(execution.Task{Input: "x"}))
	require.Nil(t, failure)
	_, failure = run.ParseOutcome(exitedOutcome(1, ""))
	require.Equal(t, execution.CodeModelError, failure.Code)
	require.Contains(t, failure.Message, "429")
}

// Each reason has its own code.
func TestInvalidTasks(t *testing.T) {
	registry := claudeWithSummary(gateway.Summary{})
	for name, c := range map[string]struct {
		task execution.Task
		code execution.Code
	}{
		"an unknown runtime": {execution.Task{Input: "x", Runtime: "gemini"}, execution.CodeNoExecutor},
		"an unknown model":   {execution.Task{Input: "x", Model: "gpt-9"}, execution.CodeModelNotAllowed},
		"an invalid schema":  {execution.Task{Input: "x", Schema: "{"}, execution.CodeInvalidTask},
	} {
		t.Run(name, func(t *testing.T) {
			run, failure := registry.Prepare(t.Context(), task(c.task))
			require.Nil(t, run)
			require.Equal(t, c.code, failure.Code, failure.Message)
		})
	}
}
