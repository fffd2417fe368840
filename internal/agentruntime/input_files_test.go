package agentruntime_test

import (
	"fmt"
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
		_, failure := registry.Prepare(t.Context(), task(execution.Task{Input: "x", Instructions: "be brief", InputFileList: []execution.File{{Path: path}}}))
		if fits {
			require.Nil(t, failure, path)
			continue
		}
		require.NotNil(t, failure, path)
		require.Equal(t, execution.CodeInvalidTask, failure.Code)
		require.Contains(t, failure.Message, path)
	}
}

// Uploaded files are streamed into the job, in the order of the list. Together, all files must fit into the working
// folder.
func TestUploadedFilesAreStreamed(t *testing.T) {
	registry := commandRegistry(func(r *catalog.Runtime) { r.Limits.Memory = 64 << 20 })
	of := func(sizes ...int64) *execution.Execution {
		files := []execution.File{{Path: "note", Content: execution.Content{Size: 1}}}
		for i, size := range sizes {
			files = append(files, execution.File{
				Path: fmt.Sprintf("data/%d", i), FileID: fmt.Sprintf("file_%d", i), Content: execution.Content{Size: size},
			})
		}
		return task(execution.Task{Input: "x", InputFileList: files, InputFiles: []execution.InputFile{{Path: "note", Data: []byte("x")}}})
	}
	run, failure := registry.Prepare(t.Context(), of(20<<20, 4<<20-1))
	require.Nil(t, failure)
	require.Equal(t, []sandbox.StreamedFile{
		{Path: "/workspace/data/0", Size: 20 << 20}, {Path: "/workspace/data/1", Size: 4<<20 - 1},
	}, run.Job.Streamed)
	require.Contains(t, run.Job.Files, sandbox.File{Path: "/workspace/note", Mode: 0o644, Data: []byte("x")})

	_, failure = registry.Prepare(t.Context(), of(20<<20, 4<<20))
	require.Equal(t, &execution.Failure{
		Code:    execution.CodeInvalidTask,
		Message: "the input files have 25165825 bytes together, and the working folder of this runtime holds 25165824",
	}, failure)
}
