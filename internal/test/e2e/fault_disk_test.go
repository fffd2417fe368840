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
	"github.com/airlock-run/airlock/internal/test/history"
)

// The disk of the emulators' data gets full. Nothing exits: reads are answered, and requests that write get a 503. When
// there is space again, everything goes on without a restart, and all accepted work is there and runs.
func TestFaultDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	t.Parallel()
	disk := t.TempDir()
	// Firestore and Pub/Sub reserve 210 MiB for up to four logs each.
	require.NoError(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=300m"))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
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
