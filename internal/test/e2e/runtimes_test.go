package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/receipt"
)

// commandRuntimes run programs of every Debian system.
const commandRuntimes = `
runtimes:
  - name: upper
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/usr/bin/tr, a-z, A-Z]
  - name: json
    image: airlock/sandbox-claude:dev
    contract: command
    output: json
    argv: [/bin/cat]
    limits: {memory: 256MiB, pids: 32, output: 1MiB}
    maxTimeout: 30s
  - name: text
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/bin/cat]
  - name: failing
    image: airlock/sandbox-claude:dev
    contract: command
    output: json
    argv: [/bin/bash, -c, 'cat; echo the reason >&2; exit 1']
  - name: context
    image: airlock/sandbox-claude:dev
    contract: command
    env: {COLOUR: blue}
    argv: [/bin/bash, -c, 'cat "$AIRLOCK_INSTRUCTIONS"; echo; cat "$AIRLOCK_HISTORY"; echo; echo "$COLOUR $#"; cat', agent, '--model={model}']
    models: [small]
  - name: greedy-child
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/bin/bash, -c, 'head -c 1G /dev/zero | tail; read line; if [ "$line" = answer ]; then echo done; fi']
    limits: {memory: 64MiB}
  - name: flood
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/bin/bash, -c, 'head -c 50000000 /dev/zero | tr "\0" x']
`

// withRuntimes writes a runtimes file, which the API and the executor use.
func withRuntimes(t *testing.T, text string) func(*dev.Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "runtimes.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return func(d *dev.Config) {
		d.API.RuntimesFile, d.Executor.RuntimesFile = file, file
		d.API.DefaultRuntime = "upper"
	}
}

// Any program can run as an agent with an entry in the runtimes file. Its output
// decides only the result: exit codes, limits and malformed output fail.
func TestRuntimesFromFile(t *testing.T) {
	t.Parallel()
	a := start(t, withRuntimes(t, commandRuntimes))
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for name, tc := range map[string]struct {
		runtime, input string
		code           contract.FailureCode // empty: success
		text           string               // part of the result or of the error message
	}{
		"text":                         {"upper", "hello there", "", "HELLO THERE"},
		"a document":                   {"json", `{"a":[1,2]}`, "", `{"a":[1,2]}`},
		"two documents":                {"json", `{"a":1} {"a":2}`, contract.FailureCodeInvalidResult, "more data after its end"},
		"a member twice":               {"json", `{"a":1,"a":2}`, contract.FailureCodeInvalidResult, "duplicate"},
		"10,000 deep":                  {"json", deep, contract.FailureCodeInvalidResult, "more than 128 nested levels"},
		"no document":                  {"json", "hello", contract.FailureCodeInvalidResult, "not one JSON document"},
		"success, but exit code 1":     {"failing", `{"status":"success"}`, contract.FailureCodeAgentError, "exited with code 1: the reason"},
		"50 MB":                        {"flood", "go", contract.FailureCodeOutputLimit, "more than 4194304 bytes"},
		"a flag":                       {"text", "--help", "", "--help"},
		"a shell's substitution":       {"text", "$(id) `id` ; rm -rf / #", "", "$(id) `id` ; rm -rf / #"},
		"instructions and environment": {"context", "the input", "", "blue 1\nthe input"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agent := a.createAgent(contract.CreateAgent{Name: name, Instructions: "instructions", Runtime: tc.runtime})
			e := a.awaitExecution(a.runAgent(agent.Id, tc.input).ExecutionId)
			require.Equal(t, tc.code, e.Error.Code, e.Error.Message)
			require.Contains(t, e.Result.Text+e.Error.Message, tc.text)
			require.Equal(t, tc.code == "", e.Status == contract.StatusSucceeded)
		})
	}
}

// The kernel kills a child for its memory. The agent goes on, and its valid result counts. Without one, the memory is
// the reason of the failure.
func TestOutOfMemoryChild(t *testing.T) {
	t.Parallel()
	a := start(t, withRuntimes(t, commandRuntimes))
	agent := a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B", Runtime: "greedy-child"})
	for input, want := range map[string]contract.Status{"answer": contract.StatusSucceeded, "none": contract.StatusFailed} {
		e := a.awaitExecution(a.runAgent(agent.Id, input).ExecutionId)
		require.Equal(t, want, e.Status, e.Error.Message)
		require.Positive(t, e.Usage.OomKills)
		require.Equal(t, 1, e.Attempt)
		var r receipt.Receipt
		require.NoError(t, json.Unmarshal(e.Receipt, &r))
		require.Equal(t, e.Usage.OomKills, r.Sandbox.OOMKills)
		if want == contract.StatusSucceeded {
			require.Equal(t, "done", e.Result.Text)
			continue
		}
		require.Equal(t, contract.FailureCodeOutOfMemory, e.Error.Code)
	}
}

// The API reads the known runtimes from the same file.
func TestAgentWithUnknownRuntime(t *testing.T) {
	t.Parallel()
	a := start(t, withRuntimes(t, commandRuntimes), func(d *dev.Config) { d.NoExecutor = true })
	got := a.do(http.MethodPost, "/agents", jsonType, []byte(`{"name":"A","instructions":"B","runtime":"claude"}`))
	require.Equal(t, http.StatusBadRequest, got.StatusCode)
	require.Contains(t, string(got.body), "upper, json, text")
	require.Equal(t, "upper", a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B"}).Runtime)
}

// A model that the runtime does not allow has its own failure code.
func TestModelNotAllowed(t *testing.T) {
	t.Parallel()
	a := start(t, withRuntimes(t, commandRuntimes))
	agent := a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B", Runtime: "context", Model: "large"})
	e := a.awaitExecution(a.runAgent(agent.Id, "x").ExecutionId)
	require.Equal(t, contract.FailureCodeModelNotAllowed, e.Error.Code)
	require.Contains(t, e.Error.Message, "small")
}
