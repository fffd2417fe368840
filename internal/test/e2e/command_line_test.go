package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// runCLI runs `airlock` against the server, and returns its output and its exit code.
func (a *airlock) runCLI(t *testing.T, stdin []byte, args ...string) (output string, code int) {
	t.Helper()
	dir, err := buildPrograms()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "airlock"), args...)
	cmd.Env = []string{"AIRLOCK_URL=" + a.URL}
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.createAgent(contract.CreateAgent{Name: "Counter", Instructions: "Count the words"})
	for name, tc := range map[string]struct {
		stdin  string
		args   []string
		code   int
		output string
	}{
		"a message":             {"", []string{"run", "--wait", "안녕하세요"}, 0, "안녕하세요"},
		"an agent":              {"", []string{"run", "--wait", "--agent", "Counter", "one two three"}, 0, "3"},
		"standard input":        {"one two three four", []string{"run", "--wait", "--agent", "Counter", "-"}, 0, "4"},
		"without waiting":       {"", []string{"run", "hello"}, 0, "exe_"},
		"a failed execution":    {"", []string{"run", "--wait", "--agent", "Counter", `{"offline":{"exit":3}}`}, 1, "agent_error"},
		"an unknown agent":      {"", []string{"run", "--agent", "Nobody", "x"}, 1, "Nobody"},
		"an unknown flag":       {"", []string{"run", "--nothing"}, 2, "--help"},
		"no prompt":             {"", []string{"run"}, 2, "--help"},
		"an unknown command":    {"", []string{"fly"}, 2, "fly"},
		"an unreachable server": {"", []string{"run", "--server", "http://127.0.0.1:1", "x"}, 3, "cannot reach"},
	} {
		t.Run(name, func(t *testing.T) {
			output, code := a.runCLI(t, []byte(tc.stdin), tc.args...)
			require.Equal(t, tc.code, code, output)
			require.Contains(t, output, tc.output)
		})
	}
}

func TestBatchCommandLine(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.createAgent(contract.CreateAgent{Name: "Counter", Instructions: "Count the words"})
	dir := t.TempDir()
	input, results := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	require.NoError(t, os.WriteFile(input, []byte("\"one two\"\n\"three\"\n"), 0o600))
	output, code := a.runCLI(t, nil, "batch", "submit", input, "--agent", "Counter", "-o", results)
	require.Zero(t, code, output)
	require.Contains(t, output, "2/2")
	saved, err := os.ReadFile(results)
	require.NoError(t, err)
	require.Len(t, strings.Split(strings.TrimSpace(string(saved)), "\n"), 2)
}
