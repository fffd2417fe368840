package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/history"
)

// The disk of the emulators' data gets full. The emulators may end, but what was
// accepted before is there, and runs, once there is room and they are started again.
func TestFaultDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	t.Parallel()
	disk := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=96m"))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	emulators := func(firestore, pubsub string) (*process, string, string) {
		p := spawn(t, "airlock", nil, "emulators", "--data", filepath.Join(disk, "data"), "--firestore", firestore, "--pubsub", pubsub)
		return p, p.await(t, `FIRESTORE_EMULATOR_HOST=(\S+)`), p.await(t, `PUBSUB_EMULATOR_HOST=(\S+)`)
	}
	before, firestore, pubsub := emulators("127.0.0.1:0", "127.0.0.1:0")
	l := &lab{recorder: watch(t, firestore, app.LocalProject)}
	l.furnish(t, firestore, pubsub, "GOOGLE_CLOUD_PROJECT="+app.LocalProject)
	l.serve(t)
	agent := l.echo()

	require.NoError(t, fill(filepath.Join(disk, "filler")))
	var accepted []string
	deadline := time.Now().Add(30 * time.Second)
	for i := 0; time.Now().Before(deadline); i++ {
		id, ok := l.tryRun(agent, fmt.Sprintf("%d %s", i, words(10_000)))
		if !ok {
			break
		}
		accepted = append(accepted, id)
	}
	t.Logf("%d were accepted before the disk was full", len(accepted))
	require.NoError(t, os.Remove(filepath.Join(disk, "filler")))
	before.end(t, syscall.SIGKILL) // it may have ended by itself
	emulators(firestore, pubsub)
	l.eventually("ready", func() bool { return l.do(http.MethodGet, "/readyz", "", nil).StatusCode == http.StatusOK })
	accepted = append(accepted, l.submit("after it").ExecutionId)
	for _, id := range accepted {
		l.recorder.Promised(history.Promise{Execution: id})
	}
	x := l.executor(t)
	for _, id := range accepted {
		require.Equal(t, contract.StatusSucceeded, l.await(id).Status)
	}
	require.Eventually(t, func() bool { return len(history.Check(l.recorder.History())) == 0 }, time.Minute, 100*time.Millisecond)
	x.end(t, syscall.SIGTERM)
}

// fill writes a file until there is no room for more.
func fill(path string) error {
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
	return nil // full, which is what was wanted
}

// tryRun reports whether a run was accepted.
func (l *lab) tryRun(agent, input string) (executionID string, ok bool) {
	l.t.Helper()
	got := l.do(http.MethodPost, "/agents/"+agent+"/run", jsonType, fmt.Appendf(nil, `{"input":%q}`, input))
	if got.StatusCode != http.StatusAccepted {
		require.Equal(l.t, http.StatusServiceUnavailable, got.StatusCode, "%s", got.body)
		return "", false
	}
	return filepath.Base(got.Header.Get("Location")), true
}
