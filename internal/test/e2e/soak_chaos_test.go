package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/history"
)

// chaos injects random faults into a cluster, one after another and several at
// the same time. Only the goroutine of the test may use it.
type chaos struct {
	*faultCluster
	random         *rand.Rand
	executors      []*process
	names          map[*process]string   // of all executors so far
	armed          map[*process]bool     // processes with a failpoint
	sickEngine     *faultproxy.HTTPProxy // before the Engine, for faults of single requests
	engineDisk     string                // a small disk of the Engine; empty if only root could make one
	active         []activeFault
	longOutageDone bool
	faultCounts    map[string]int
}

// activeFault is a fault that lasts until a time.
type activeFault struct {
	target any // a process or a proxy, which has at most one fault at a time
	until  time.Time
	clear  func()
}

func newChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	c := &chaos{
		faultCluster: newPersistentFaultCluster(t, t.TempDir()), random: rand.New(rand.NewPCG(seed, 0)),
		names: map[*process]string{}, armed: map[*process]bool{}, faultCounts: map[string]int{},
	}
	c.useSickEngine()
	for range soakExecutors {
		c.executors = append(c.executors, c.launchExecutor())
	}
	return c
}

// launchExecutor starts an executor and remembers its name.
func (c *chaos) launchExecutor() *process {
	p := c.startExecutorAsync()
	c.names[p] = c.executorNames[len(c.executorNames)-1]
	return p
}

// launchCrashing starts an executor that kills itself at a failpoint.
func (c *chaos) launchCrashing(point failpoint.Point) *process {
	p := c.startExecutorAsync(failpointEnv(point))
	c.names[p], c.armed[p] = c.executorNames[len(c.executorNames)-1], true
	return p
}

// injectNext waits for a few seconds, clears expired faults, replaces processes
// that have exited, and injects one fault.
func (c *chaos) injectNext() {
	c.wait(time.Second + time.Duration(c.random.Int64N(int64(3*time.Second))))
	c.clearExpired(time.Now())
	c.replaceExited()
	faults := []func(){
		c.killExecutor, c.killExecutor, c.pauseExecutor, c.restartExecutor, c.crashExecutor, c.crashExecutor, c.replaceAPI,
		c.injectServiceFault, c.injectServiceFault, c.injectServiceFault, c.injectEngineFault, c.slowEngine, c.failEngine, c.fillEngine, c.republish, c.longFirestoreOutage, c.killEmulators,
		c.pauseExecutor, c.pauseAPI, c.pauseEmulators,
	}
	faults[c.random.IntN(len(faults))]()
}

func (c *chaos) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.t.Context().Done():
	}
}

func (c *chaos) logFault(format string, args ...any) {
	fault := fmt.Sprintf(format, args...)
	c.faultCounts[fault]++
	c.t.Logf("%s %s", time.Now().Format("15:04:05.000"), fault)
}

func (c *chaos) totalFaults() (n int) {
	for _, count := range c.faultCounts {
		n += count
	}
	return n
}

// addFault records a fault that lasts for a random time.
func (c *chaos) addFault(target any, maxDuration time.Duration, clearFault func()) {
	until := time.Now().Add(time.Second + time.Duration(c.random.Int64N(int64(maxDuration))))
	c.active = append(c.active, activeFault{target, until, clearFault})
}

func (c *chaos) hasFault(target any) bool {
	for _, f := range c.active {
		if f.target == target {
			return true
		}
	}
	return false
}

func (c *chaos) clearExpired(now time.Time) {
	var remaining []activeFault
	for _, f := range c.active {
		if now.Before(f.until) {
			remaining = append(remaining, f)
		} else {
			f.clear()
		}
	}
	c.active = remaining
}

// calmDown ends all faults: the processes run without failpoints from now on.
func (c *chaos) calmDown() {
	for _, f := range c.active {
		f.clear()
	}
	c.active = nil
	for i, p := range c.executors {
		if c.armed[p] && !hasExited(p) {
			p.signalAndWait(c.t, syscall.SIGTERM)
			c.executors[i] = c.launchExecutor()
		}
	}
	if c.armed[c.apiProcess] && !hasExited(c.apiProcess) {
		c.apiProcess.signalAndWait(c.t, syscall.SIGTERM)
		c.startAPIAsync()
	}
	c.replaceExited()
}

// replaceExited replaces processes that have killed themselves at a failpoint.
func (c *chaos) replaceExited() {
	for i, p := range c.executors {
		if hasExited(p) {
			p.signalAndWait(c.t, syscall.SIGKILL)
			c.recordDeath(p) // up to an injection later than it was
			c.executors[i] = c.launchExecutor()
		}
	}
	if hasExited(c.apiProcess) {
		c.apiProcess.signalAndWait(c.t, syscall.SIGKILL)
		c.startAPIAsync()
	}
}

// recordDeath records that an executor was killed.
func (c *chaos) recordDeath(p *process) {
	c.recorder.RecordInterruption(history.Interruption{Executor: c.names[p], From: time.Now()})
}

// hasExited reports whether a process has ended. Until somebody waits for it, it is a zombie.
func hasExited(p *process) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
