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

// soakEnv sets how many jobs TestManyInARowLeaveNothing runs: 50 in every test
// run, AIRLOCK_TEST_SOAK_SANDBOXES=1000 for what docs/security.md promises.
const soakJobsEnv = "AIRLOCK_TEST_SOAK_SANDBOXES"

// TestManyInARowLeaveNothing runs jobs of every kind of end through a warm
// pool and then compares what there is with what there was before.
func TestSoak(t *testing.T) {
	n := 50
	if value := os.Getenv(soakJobsEnv); value != "" {
		var err error
		n, err = strconv.Atoi(value)
		require.NoError(t, err)
	}
	d := warmDriver(t, 2)
	run(t, d, probe("exit", "0")) // what is made once is there now
	d.background.Wait()
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)

	began := time.Now()
	for i := range n {
		job := probe("exit", "0")
		switch i % 5 {
		case 1:
			job = probe("post", sandbox.EgressURL)
			job.Egress = newGateway(echoBody)
		case 2:
			job = probe("leave-large", sandbox.OutputDir+"/f", "2")
		case 3:
			job = probe("sleep", "1h")
			job.Timeout = 20 * time.Millisecond
		case 4:
			job.Limits.PIDs = 100 // not warm
		}
		require.NoError(t, run(t, d, job).Close())
	}
	d.background.Wait()
	t.Logf("%d jobs in %s", n, time.Since(began).Round(time.Millisecond))

	require.Len(t, containers(t, d), 2, "those that wait")
	require.Len(t, socketDirs(t, d), 2, "those that wait")
	d.drainPool(t.Context())
	d.background.Wait()
	require.Empty(t, containers(t, d))
	require.Empty(t, socketDirs(t, d))
	require.NoError(t, d.api.Close()) // the idle connections
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
