package agentruntime_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestInputFilesAreAddedToWorkspace(t *testing.T) {
	run, failure := commandRegistry(nil).Prepare(t.Context(), task(execution.Task{Input: "x", InputFiles: []execution.InputFile{{Path: "data/a.csv", Data: []byte("1,2")}}}))
	require.Nil(t, failure)
	require.Contains(t, run.Job.Files, sandbox.File{Path: "/workspace/data/a.csv", Mode: 0o644, Data: []byte("1,2")})
}

// An input file cannot replace a file of the runtime or prevent its creation.
func TestInputFileConflictsWithRuntimeFile(t *testing.T) {
	registry := commandRegistry(func(r *catalog.Runtime) { r.InstructionsPath = "/workspace/conf/AGENTS.md" })
	for path, fits := range map[string]bool{
		"conf/AGENTS.md": false, "conf": false, "conf/AGENTS.md/x": false,
		"conf/other": true, "AGENTS.md": true, "conf/AGENTS.md2": true,
	} {
		_, failure := registry.Prepare(t.Context(), task(execution.Task{Input: "x", Instructions: "be brief", InputFiles: []execution.InputFile{{Path: path}}}))
		if fits {
			require.Nil(t, failure, path)
			continue
		}
		require.NotNil(t, failure, path)
		require.Equal(t, execution.CodeInvalidTask, failure.Code)
		require.Contains(t, failure.Message, path)
	}
}
