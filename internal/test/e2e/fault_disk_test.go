package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/test/history"
)

// The disk of the emulators' data gets full. Nothing exits: reads are answered, and requests that write get a 503. When
// there is space again, everything goes on without a restart, and all accepted work is there and runs.
func TestFaultDiskFull(t *testing.T) {
	t.Parallel()
	disk := mountSmallDisk(t)
	l := newPersistentFaultCluster(t, filepath.Join(disk, "data"))
	agent := l.createEchoAgent()
	accepted := []string{l.submit("before the disk is full").ExecutionId}

	require.NoError(t, fillDisk(filepath.Join(disk, "filler")))
	for i := 0; ; i++ {
		id, ok := l.tryRun(agent, fmt.Sprintf("%d %s", i, words(10_000)))
		if !ok {
			break
		}
		accepted = append(accepted, id)
	}
	t.Logf("%d runs were accepted before the disk was full", len(accepted))
	for _, id := range accepted {
		got := l.do(http.MethodGet, "/executions/"+id, "", nil)
		require.Equal(t, http.StatusOK, got.StatusCode, "%s", got.body)
	}
	require.NoError(t, os.Remove(filepath.Join(disk, "filler")))
	l.awaitReady()
	accepted = append(accepted, l.submit("after there is space").ExecutionId)
	for _, id := range accepted {
		l.recorder.RecordAcceptance(history.Acceptance{Execution: id})
	}
	x := l.startExecutor()
	for _, id := range accepted {
		require.Equal(t, contract.StatusSucceeded, l.awaitExecution(id).Status)
	}
	l.requireHistoryHolds(x)
}

// `airlock dev` on a full disk: a start is refused and leaves nothing behind, requests that write get a 503, reads are
// answered, and the log says why. When there is space, everything goes on.
func TestFaultDevDiskFull(t *testing.T) {
	t.Parallel()
	disk := mountSmallDisk(t)
	filler := filepath.Join(disk, "filler")
	name := id.New("test-")
	dev := program{
		name: "airlock",
		env: []string{
			"AIRLOCK_SANDBOX_SOCKET_DIR=" + newSocketDir(t), "AIRLOCK_WARM_POOL_SIZE=0", "AIRLOCK_EXECUTOR_SLOTS=2", "AIRLOCK_EXECUTOR_NAME=" + name,
		},
		args: []string{"dev", "--data", filepath.Join(disk, "data"), "--listen", "127.0.0.1:0", "--pubsub", "127.0.0.1:0", "--firestore", "127.0.0.1:0", "--firestore-indexes", indexesFile},
	}
	var running *process
	a := &airlock{t: t, docker: newDockerClient(t), executorName: name}
	start := func() {
		running = dev.start(t)
		a.URL = running.awaitLine(t, `Airlock +(http://\S+)`)
		a.awaitReady()
	}
	requireRefused := func(reason string) {
		refused := dev.start(t)
		refused.awaitLine(t, "("+reason+")")
		refused.once.Do(func() { _ = refused.Wait() })
		require.Equal(t, 1, refused.ProcessState.ExitCode())
	}

	require.NoError(t, fillDisk(filler))
	requireRefused("version: no space left on device")
	require.NoError(t, os.Remove(filler))
	start() // in the folder that the refused start has made

	agent := a.createAgent(offlineAgent)
	before := a.runAgent(agent.Id, "before the disk is full")
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(before.ExecutionId).Status)
	during := a.runAgent(agent.Id, `{"offline":{"sleep":"2s"}}`)
	a.awaitStatus(during.ExecutionId, contract.StatusRunning)

	require.NoError(t, fillDisk(filler))
	for path, body := range map[string]string{
		"/agents":                      `{"name":"Echo","instructions":"Count","runtime":"offline"}`,
		"/agents/" + agent.Id + "/run": `{"input":"refused"}`,
	} {
		got := a.do(http.MethodPost, path, jsonType, []byte(body))
		require.Equal(t, http.StatusServiceUnavailable, got.StatusCode, "POST %s: %s", path, got.body)
		require.NotEmpty(t, got.Header.Get("Retry-After"))
		var problem contract.Problem
		got.decode(t, &problem)
		require.Equal(t, contract.ProblemUnavailable, problem.Code)
	}
	require.Contains(t, running.awaitLine(t, `writes are refused.*the disk of (\S+) is full`), disk)
	for _, path := range []string{"/agents/" + agent.Id, "/executions/" + before.ExecutionId, "/executions/" + during.ExecutionId, "/executions"} {
		got := a.do(http.MethodGet, path, "", nil)
		require.Equal(t, http.StatusOK, got.StatusCode, "GET %s: %s", path, got.body)
	}

	require.NoError(t, os.Remove(filler))
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(during.ExecutionId).Status, "its end is stored as soon as there is space")
	after := a.runAgent(agent.Id, "after there is space")
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(after.ExecutionId).Status)
	a.awaitNoContainers()
	running.signalAndWait(t, syscall.SIGKILL)

	require.NoError(t, fillDisk(filler))
	requireRefused("the disk of .* is full .*free some space")
	require.NoError(t, os.Remove(filler))
	start()
	for _, accepted := range []contract.AcceptedExecution{before, during, after} {
		require.Equal(t, contract.StatusSucceeded, a.getExecution(accepted.ExecutionId).Status)
	}
	running.signalAndWait(t, syscall.SIGTERM)
}

// mountSmallDisk returns a disk of 300 MiB. Firestore and Pub/Sub reserve 210 MiB for up to four logs each.
func mountSmallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=300m"))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fillDisk writes a file until the disk is full.
func fillDisk(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size >= 4096; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	return nil // the last write failed because the disk is full
}

// tryRun submits a run and reports whether it was accepted.
func (l *faultCluster) tryRun(agent, input string) (executionID string, ok bool) {
	l.t.Helper()
	got := l.do(http.MethodPost, "/agents/"+agent+"/run", jsonType, fmt.Appendf(nil, `{"input":%q}`, input))
	if got.StatusCode != http.StatusAccepted {
		require.Equal(l.t, http.StatusServiceUnavailable, got.StatusCode, "%s", got.body)
		return "", false
	}
	return filepath.Base(got.Header.Get("Location")), true
}
