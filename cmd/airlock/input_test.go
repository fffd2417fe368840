package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

func pointer(s string) *string { return &s }

// Files with any content are sent under the last part of their paths, or under the path that is asked for. One that
// does not fit into the request is uploaded, and deleted when the run is accepted. The output files of the run are
// listed.
func TestRunSendsInputFiles(t *testing.T) {
	a := startFakeAPI(t, map[string][]any{
		"POST /files":            {contract.File{Id: "file_1"}},
		"DELETE /files/file_1":   {nil},
		"GET /agents":            {contract.AgentList{Agents: []contract.Agent{{Id: "agt_1", Name: "A"}}}},
		"POST /agents/agt_1/run": {contract.AcceptedExecution{ExecutionId: "exe_1", Urls: contract.ExecutionURLs{Self: "/executions/exe_1"}}},
		"GET /executions/exe_1": {contract.Execution{
			Id: "exe_1", Status: contract.StatusSucceeded, Files: []contract.OutputFile{{Path: "out.csv", Size: 7, Url: "/executions/exe_1/files/out.csv"}},
			Result: contract.Result{Text: "an excerpt", Truncated: true, Size: 1 << 20, Url: "/executions/exe_1/result"},
		}},
	})
	dir := t.TempDir()
	text, bytes, large := filepath.Join(dir, "a.txt"), filepath.Join(dir, "b.bin"), filepath.Join(dir, "large")
	require.NoError(t, os.WriteFile(large, make([]byte, maxInlineBytes), 0o600))
	require.NoError(t, os.WriteFile(text, []byte("세상"), 0o600))
	require.NoError(t, os.WriteFile(bytes, []byte{0, 255}, 0o600))
	code, out, stderr := runCLI(t, "", "run", "--server", a.URL, "--agent", "A", "--wait", "--file", text, "--file", bytes+"=in/b.bin",
		"--file", large+"=data/large", "--file-id", "file_0=old", "go")
	require.Zero(t, code, stderr)
	require.Equal(t, "an excerpt\n", out)
	require.Contains(t, stderr, a.URL+"/executions/exe_1/files/out.csv")
	require.Contains(t, stderr, a.URL+"/executions/exe_1/result")

	require.Contains(t, a.requests[0], "POST /files?name=large")
	require.Contains(t, a.requests[3], "DELETE /files/file_1", "the run keeps its content")
	_, body, _ := strings.Cut(a.requests[2], "/run ")
	var sent contract.RunAgent
	require.NoError(t, json.Unmarshal([]byte(body), &sent))
	require.Equal(t, []contract.InputFile{
		{Path: "a.txt", Content: pointer("세상")}, {Path: "in/b.bin", Content: pointer("AP8="), Encoding: contract.Base64},
		{Path: "data/large", FileId: "file_1"}, {Path: "old", FileId: "file_0"},
	}, sent.Files)
}

func TestRunRejectsUnreadableInputFiles(t *testing.T) {
	for says, args := range map[string][]string{
		"--agent":        {"run", "--label", "a=b", "go"},
		"is not ID=PATH": {"run", "--agent", "A", "--file-id", "file_0", "go"},
		"no such file":   {"run", "--agent", "A", "--file", "nowhere", "go"},
		"is a directory": {"run", "--agent", "A", "--file", ".", "go"},
	} {
		code, _, stderr := runCLI(t, "", args...)
		require.Equal(t, exitUsage, code, says)
		require.Contains(t, stderr, says)
	}
}
