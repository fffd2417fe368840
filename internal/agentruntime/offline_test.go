package agentruntime_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/offline"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// runInProcess runs a job of the offline runtime without a container. It calls the real agent with the same arguments
// as in a container, but with another home directory.
func runInProcess(t *testing.T, job sandbox.Job) sandbox.Outcome {
	t.Helper()
	const home = "/home/agent"
	moved := t.TempDir()
	args := job.Argv[1:]
	for i := range args {
		if strings.HasPrefix(args[i], home+"/") {
			args[i] = moved + strings.TrimPrefix(args[i], home)
		}
	}
	for _, f := range job.Files {
		path := moved + strings.TrimPrefix(f.Path, home)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, f.Data, os.FileMode(f.Mode)))
	}
	var stdout, stderr bytes.Buffer
	code := offline.Run(offline.Invocation{
		Args: args, Home: moved, Stdin: bytes.NewReader(job.Stdin), Stdout: &stdout, Stderr: &stderr,
	})
	return sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: code, Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
}

func TestOfflineFromTaskToResult(t *testing.T) {
	for name, c := range map[string]struct {
		task   execution.Task
		text   string
		output string
	}{
		"an agent's run": {
			execution.Task{Instructions: "Turn it into upper case.", Input: "/help"}, "/HELP", "",
		},
		"a builder conversation": {
			execution.Task{Instructions: conversation.BuilderInstructions, Schema: conversation.BuilderSchema, Input: "make an agent that counts words"},
			"draft", `"runtime":"offline"`,
		},
		"a resumed conversation": {
			execution.Task{Input: "What did I say earlier?", History: []execution.Message{
				{Role: execution.RoleUser, Text: "my cat is called Momo"}, {Role: execution.RoleAssistant, Text: "Nice."},
			}}, "Momo", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			run, failure := agentruntime.NewRegistry(offlineRuntime("x")).Prepare(t.Context(), task(c.task))
			require.Nil(t, failure)
			result, failure := run.ParseOutcome(runInProcess(t, run.Job))
			require.Nil(t, failure)
			require.Contains(t, result.Text, c.text)
			require.Contains(t, result.Output, c.output)
			require.Zero(t, run.Usage())
		})
	}
}

func TestOfflineExitCodeIsFailure(t *testing.T) {
	run, failure := agentruntime.NewRegistry(offlineRuntime("x")).Prepare(t.Context(), task(execution.Task{Input: `{"offline":{"exit":3}}`}))
	require.Nil(t, failure)
	_, failure = run.ParseOutcome(runInProcess(t, run.Job))
	require.Equal(t, &execution.Failure{Code: execution.CodeAgentError, Message: "the agent exited with code 3"}, failure)
}
