package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/test/history"
)

const outputRuntime = `
runtimes:
  - name: output
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/bin/bash, -c, 'mkdir out && printf content > out/a.txt; head -c 700000 /dev/zero | tr "\0" x']
`

// An executor is killed after it has stored an output file and a large result, and
// before it has written the final state that refers to them. The execution then
// refers to those of the next attempt. The others are removed with the execution.
func TestFaultExecutorKilledAfterStoringArtifacts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "runtimes.yaml")
	require.NoError(t, os.WriteFile(file, []byte(outputRuntime), 0o600))
	runtimes := "AIRLOCK_RUNTIMES_FILE=" + file
	blobs := "file://" + t.TempDir()
	l := newFaultCluster(t, 0, runtimes, "AIRLOCK_BLOB_URL="+blobs)
	agent := l.createAgent(contract.CreateAgent{Name: "Output", Instructions: "write", Runtime: "output"})
	accepted := l.runAgent(agent.Id, "go")
	l.recorder.RecordAcceptance(history.Acceptance{Execution: accepted.ExecutionId})

	l.startExecutor(failpointEnv(failpoint.JobFinished), runtimes, "AIRLOCK_BLOB_URL="+blobs).awaitKilled(t)
	l.clock.Advance(afterNotification)
	another := l.startExecutor(runtimes, "AIRLOCK_BLOB_URL="+blobs)
	e := l.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, e.Error.Message)
	require.Equal(t, 2, e.Attempt)
	require.Equal(t, "content", string(l.do(http.MethodGet, e.Files[0].Url, "", nil).body))
	require.Len(t, l.do(http.MethodGet, e.Result.Url, "", nil).body, int(e.Result.Size))

	dir := filepath.Join(strings.TrimPrefix(blobs, "file://"), "local", e.Id)
	for _, attempt := range []string{"1", "2"} {
		require.FileExists(t, filepath.Join(dir, attempt, "result"))
		require.FileExists(t, filepath.Join(dir, attempt, "file-0000"))
	}
	stored, err := blob.Open(t.Context(), blobs)
	require.NoError(t, err)
	defer stored.Close()
	require.NoError(t, stored.Delete(t.Context(), execution.Ref{Tenant: "local", ID: e.Id}))
	for _, attempt := range []string{"1", "2"} {
		remaining, err := os.ReadDir(filepath.Join(dir, attempt))
		require.NoError(t, err)
		require.Empty(t, remaining)
	}
	require.Equal(t, http.StatusGone, l.do(http.MethodGet, e.Result.Url, "", nil).StatusCode)
	l.requireHistoryHolds(another)
}
