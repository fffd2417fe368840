package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/airlock-run/airlock/internal/api/contract"
)

const (
	// maxWaitingMemory bounds the memory of an API process with waiting long polls, in bytes.
	maxWaitingMemory = 400 << 20

	// callersPerSecond is how many long polls start each second. All at the same time would measure the emulator.
	callersPerSecond = 300

	// memoryLimit is what docs/performance.md recommends for 10,000 long polls. The mapped part of the program's file,
	// some 50 MiB, is not included.
	memoryLimit = "GOMEMLIMIT=336MiB"
)

// One API process serves many long polls with bounded memory. The variable
// AIRLOCK_TEST_LONG_POLLS sets their number. Each returns when its execution has
// finished.
func TestLongPollMemory(t *testing.T) {
	waiting := 500
	if n := os.Getenv("AIRLOCK_TEST_LONG_POLLS"); n != "" {
		var err error
		waiting, err = strconv.Atoi(n)
		require.NoError(t, err)
	}
	a := newCluster(t, memoryLimit)
	agent := a.createAgent(offlineAgent)
	accepted := make([]contract.AcceptedExecution, 100) // there is no executor
	for i := range accepted {
		accepted[i] = a.runAgent(agent.Id, fmt.Sprint(i))
	}
	idle := a.apiProcess.memoryBytes(t, "VmRSS")

	transport := &http.Transport{MaxIdleConnsPerHost: waiting}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: waitLimit}
	var polls errgroup.Group
	arrivals := rate.NewLimiter(callersPerSecond, 1)
	for i := range waiting {
		require.NoError(t, arrivals.Wait(t.Context()))
		polls.Go(func() error {
			for {
				e, err := getExecutionOnce(client, a.URL+accepted[i%len(accepted)].Urls.Self+"?wait=60s")
				if err != nil || isFinished(e) {
					return err
				}
			}
		})
	}
	a.eventually("all long polls wait", func() bool { return a.openFileCount() >= waiting })
	for _, e := range accepted {
		// The API may return 503 first while it is busy with all long polls.
		a.eventually("canceled", func() bool { return a.do(http.MethodPost, e.Urls.Cancel, "", nil).StatusCode == http.StatusAccepted })
	}
	require.NoError(t, polls.Wait())
	peak := a.apiProcess.memoryBytes(t, "VmHWM")
	t.Logf("%d long polls: peak %d MiB, %d MiB before", waiting, peak>>20, idle>>20)
	require.Less(t, peak, maxWaitingMemory)
}

// getExecutionOnce sends one long poll. It reports an API that is too busy as a queued execution.
func getExecutionOnce(c *http.Client, url string) (e contract.Execution, err error) {
	res, err := c.Get(url)
	if err != nil {
		return e, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusServiceUnavailable {
		return contract.Execution{Status: contract.StatusQueued}, nil
	}
	if res.StatusCode != http.StatusOK {
		return e, fmt.Errorf("%s returned %d", url, res.StatusCode)
	}
	return e, json.NewDecoder(res.Body).Decode(&e)
}

// memoryBytes returns a size of the process's /proc/PID/status in bytes.
func (p *process) memoryBytes(t *testing.T, name string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(t, err)
			return n << 10
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// openFileCount counts the open files of the API process, which are mostly connections.
func (c *cluster) openFileCount() int {
	c.t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.apiProcess.Process.Pid))
	require.NoError(c.t, err)
	return len(files)
}
