package docker

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// soakJobsEnv is the variable with the number of jobs of TestManyJobsLeaveNothing. The default is 50. `make soak` sets
// 1000.
const soakJobsEnv = "AIRLOCK_TEST_SOAK_SANDBOXES"

// TestManyJobsLeaveNothing runs jobs with all kinds of ends through a warm pool. Then it compares containers, socket
// directories, goroutines and file descriptors with those before.
func TestManyJobsLeaveNothing(t *testing.T) {
	n := 50
	if testing.Short() {
		n = 10
	}
	if value := os.Getenv(soakJobsEnv); value != "" {
		var err error
		n, err = strconv.Atoi(value)
		require.NoError(t, err)
	}
	d := warmDriver(t, 2)
	run(t, d, probe("exit", "0")) // the first job creates connections and caches that stay
	d.background.Wait()
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)

	startedAt := time.Now()
	for i := range n {
		job := probe("exit", "0")
		switch i % 5 {
		case 1:
			job = probe("post", sandbox.EgressURL)
			job.Egress = newGateway(echoBody)
		case 2:
			job = probe("write-large-files", sandbox.OutputDir+"/f", "2")
		case 3:
			job = probe("sleep", "1h")
			job.Timeout = 20 * time.Millisecond
		case 4:
			job.Limits.PIDs = 100 // no warm container has this limit
		}
		require.NoError(t, run(t, d, job).Close())
	}
	d.background.Wait()
	t.Logf("%d jobs in %s", n, time.Since(startedAt).Round(time.Millisecond))

	require.Len(t, containers(t, d), 2, "those of the warm containers")
	require.Len(t, socketDirs(t, d), 2, "those of the warm containers")
	d.drainPool(t.Context())
	d.background.Wait()
	require.Empty(t, containers(t, d))
	require.Empty(t, socketDirs(t, d))
	require.NoError(t, d.api.Close()) // closes idle connections
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, 5*time.Second, 10*time.Millisecond,
		"%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
	require.LessOrEqual(t, openDescriptors(t), descriptors)
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
