package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// mostWaiting is what a process of the API may take while long polls wait, in bytes.
const maxWaitingMemory = 400 << 20

// callers is how many begin to wait each second; all at once would measure the
// emulator.
const callersPerSecond = 300

// memoryLimit is what docs/performance.md advises for 10,000; what is mapped of
// the program's file, some 50 MiB, comes on top.
const memoryLimit = "GOMEMLIMIT=336MiB"

// Very many may wait at one process of the API: AIRLOCK_TEST_LONG_POLLS says how
// many. Each is answered when its execution has ended.
func TestLongPollMemory(t *testing.T) {
	waiting := 500
	if n := os.Getenv("AIRLOCK_TEST_LONG_POLLS"); n != "" {
		var err error
		waiting, err = strconv.Atoi(n)
		require.NoError(t, err)
	}
	a, _ := startCluster(t, memoryLimit)
	agent := a.createAgent(offlineAgent)
	accepted := make([]contract.AcceptedExecution, 100) // nobody runs them
	for i := range accepted {
		accepted[i] = a.runAgent(agent.Id, fmt.Sprint(i))
	}
	idle := a.apiProcess.memoryBytes(t, "VmRSS")

	transport := &http.Transport{MaxIdleConnsPerHost: waiting}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 3 * time.Minute}
	var polls errgroup.Group
	coming := rate.NewLimiter(callersPerSecond, 1)
	for i := range waiting {
		require.NoError(t, coming.Wait(t.Context()))
		polls.Go(func() error {
			for {
				e, err := getExecutionOnce(client, a.URL+accepted[i%len(accepted)].Urls.Self+"?wait=60s")
				if err != nil || isFinished(e) {
					return err
				}
			}
		})
	}
	a.eventually("all of them wait", func() bool { return a.openFileCount() >= waiting })
	for _, one := range accepted {
		// A machine that is too busy with all of them may say so first.
		a.eventually("canceled", func() bool { return a.do(http.MethodPost, one.Urls.Cancel, "", nil).StatusCode == http.StatusAccepted })
	}
	require.NoError(t, polls.Wait())
	most := a.apiProcess.memoryBytes(t, "VmHWM")
	t.Logf("%d long polls: %d MiB at the most, %d MiB before", waiting, most>>20, idle>>20)
	require.Less(t, most, maxWaitingMemory)
}

func getExecutionOnce(c *http.Client, url string) (e contract.Execution, err error) {
	res, err := c.Get(url)
	if err != nil {
		return e, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusServiceUnavailable {
		return contract.Execution{Status: contract.StatusQueued}, nil // too busy: asked again
	}
	if res.StatusCode != http.StatusOK {
		return e, fmt.Errorf("%s answered %d", url, res.StatusCode)
	}
	return e, json.NewDecoder(res.Body).Decode(&e)
}

// memory is a figure of a process's /proc/PID/status, in bytes.
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

// connections counts the open files of the API's process, most of which are connections.
func (a *airlock) openFileCount() int {
	a.t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", a.apiProcess.Process.Pid))
	require.NoError(a.t, err)
	return len(files)
}
