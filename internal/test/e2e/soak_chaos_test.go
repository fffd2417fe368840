package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/history"
)

// chaos spoils a lab, one thing after another and several at once. It belongs
// to the test's goroutine.
type chaos struct {
	*faultCluster
	random         *rand.Rand
	apiProcess     *process // the API
	executors      []*process
	active         []activeFault
	longOutageDone bool // Firestore was away for a minute
	faultCounts    map[string]int
}

// illness is a fault that goes on until a time.
type activeFault struct {
	target any // that is ill; nothing gets two illnesses at once
	until  time.Time
	clear  func()
}

func (c *chaos) startAll() {
	c.apiProcess = c.startAPI(c.t)
	for range soakExecutors {
		c.executors = append(c.executors, c.startExecutor(c.t))
	}
}

// step lets a little time pass, heals what has been ill for long enough, and spoils something.
func (c *chaos) injectNext() {
	c.wait(time.Second + time.Duration(c.random.Int64N(int64(3*time.Second))))
	c.clearExpired(time.Now())
	c.replaceExited()
	faults := []func(){
		c.killExecutor, c.killExecutor, c.stopExecutor, c.restartExecutor, c.crashExecutor, c.crashExecutor, c.replaceAPI,
		c.injectServiceFault, c.injectServiceFault, c.injectServiceFault, c.injectEngineFault, c.republish, c.longFirestoreOutage, c.killEmulators,
	}
	faults[c.random.IntN(len(faults))]()
}

func (c *chaos) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.t.Context().Done():
	}
}

func (c *chaos) logFault(what string, args ...any) {
	what = fmt.Sprintf(what, args...)
	c.faultCounts[what]++
	c.t.Logf("%s %s", time.Now().Format("15:04:05.000"), what)
}

func (c *chaos) totalFaults() (n int) {
	for _, times := range c.faultCounts {
		n += times
	}
	return n
}

func (c *chaos) clearExpired(now time.Time) {
	var remaining []activeFault
	for _, i := range c.active {
		if now.Before(i.until) {
			remaining = append(remaining, i)
		} else {
			i.clear()
		}
	}
	c.active = remaining
}

func (c *chaos) clearAll() {
	for _, i := range c.active {
		i.clear()
	}
	c.active = nil
	c.replaceExited()
}

func (c *chaos) hasFault(target any) bool {
	for _, i := range c.active {
		if i.target == target {
			return true
		}
	}
	return false
}

// fall makes something ill, for a while.
func (c *chaos) addFault(target any, maxDuration time.Duration, clearFault func()) {
	until := time.Now().Add(time.Second + time.Duration(c.random.Int64N(int64(maxDuration))))
	c.active = append(c.active, activeFault{target, until, clearFault})
}

// healthy is a random executor that is not stopped.
func (c *chaos) pickExecutor() (int, bool) {
	i := c.random.IntN(len(c.executors))
	return i, !c.hasFault(c.executors[i])
}

func (c *chaos) killExecutor() {
	if i, ok := c.pickExecutor(); ok {
		c.logFault("executor killed")
		c.executors[i].signalAndWait(c.t, syscall.SIGKILL)
		c.executors[i] = c.startExecutorAsync()
	}
}

func (c *chaos) restartExecutor() {
	if i, ok := c.pickExecutor(); ok {
		c.logFault("executor restarted")
		replacement := c.startExecutorAsync()
		c.executors[i].signalAndWait(c.t, syscall.SIGTERM)
		c.executors[i] = replacement
	}
}

// stopExecutor stops one for up to twice its lease.
func (c *chaos) stopExecutor() {
	if i, ok := c.pickExecutor(); ok {
		c.logFault("executor stopped for a while")
		p := c.executors[i]
		_ = p.Process.Signal(syscall.SIGSTOP) // of one that may have crashed
		c.addFault(p, 30*time.Second, func() { _ = p.Process.Signal(syscall.SIGCONT) })
	}
}

// crashExecutor puts one in place of another that ends at a place of its own choice.
func (c *chaos) crashExecutor() {
	points := []failpoint.Point{failpoint.Pulled, failpoint.Claimed, failpoint.JobFinished, failpoint.ResultWritten, failpoint.Published, failpoint.Swept, failpoint.BatchDispatched}
	if i, ok := c.pickExecutor(); ok {
		point := points[c.random.IntN(len(points))]
		c.logFault("executor crashes when %s", point)
		c.executors[i].signalAndWait(c.t, syscall.SIGTERM)
		c.executors[i] = c.startExecutorAsync(failpointEnv(point))
	}
}

// hire starts an executor, without waiting until it can pull: what it needs may be away.
func (c *chaos) startExecutorAsync(env ...string) *process {
	name := fmt.Sprintf("soak-%d-%d", os.Getpid(), len(c.executorNames))
	c.executorNames = append(c.executorNames, name)
	return c.startProcess(c.t, "executor", c.faultCluster.executorDeps.env, append([]string{"AIRLOCK_EXECUTOR_NAME=" + name}, env...)...)
}

func (c *chaos) replaceExited() {
	for i, p := range c.executors {
		if hasExited(p) {
			p.signalAndWait(c.t, syscall.SIGKILL)
			c.executors[i] = c.startExecutorAsync()
		}
	}
	if hasExited(c.apiProcess) {
		c.apiProcess.signalAndWait(c.t, syscall.SIGKILL)
		c.apiProcess = c.startAPIAsync()
	}
}

// dead reports whether a process has ended and waits to be buried.
func hasExited(p *process) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	return err != nil || strings.Contains(string(status), ") Z ")
}

// listen starts an API, without waiting until it is ready.
func (c *chaos) startAPIAsync(env ...string) *process {
	p := c.startProcess(c.t, "api", c.faultCluster.apiDeps.env, append(env, "AIRLOCK_LISTEN_ADDR=127.0.0.1:0")...)
	c.URL = "http://" + p.awaitLine(c.t, `"API is listening".*"address":"([^"]+)"`)
	return p
}

func (c *chaos) replaceAPI() {
	switch c.random.IntN(3) {
	case 0:
		c.logFault("API killed")
		c.apiProcess.signalAndWait(c.t, syscall.SIGKILL)
		c.apiProcess = c.startAPIAsync()
	case 1:
		c.logFault("API restarted")
		c.apiProcess.signalAndWait(c.t, syscall.SIGTERM)
		c.apiProcess = c.startAPIAsync()
	default:
		c.logFault("API crashes when accepted")
		c.apiProcess.signalAndWait(c.t, syscall.SIGTERM)
		c.apiProcess = c.startAPIAsync(failpointEnv(failpoint.Accepted))
	}
}

// spoilService does something to Firestore or Pub/Sub, as one side sees it.
func (c *chaos) injectServiceFault() {
	services := map[string]*faultproxy.Proxy{
		"Firestore for the API": c.faultCluster.apiDeps.firestore, "Pub/Sub for the API": c.faultCluster.apiDeps.pubsub,
		"Firestore for the executors": c.faultCluster.executorDeps.firestore, "Pub/Sub for the executors": c.faultCluster.executorDeps.pubsub,
	}
	names := []string{"Firestore for the API", "Pub/Sub for the API", "Firestore for the executors", "Pub/Sub for the executors"}
	name := names[c.random.IntN(len(names))]
	c.injectFault(name, services[name], 12*time.Second, true)
}

func (c *chaos) injectEngineFault() { c.injectFault("the Engine", c.engineProxy, 8*time.Second, false) }

func (c *chaos) injectFault(name string, p *faultproxy.Proxy, maxDuration time.Duration, outage bool) {
	if c.hasFault(p) {
		return
	}
	switch c.random.IntN(6) {
	case 0:
		c.logFault("%s: cut", name)
		p.ResetConnections()
	case 1:
		c.logFault("%s: half-closed", name)
		p.HalfCloseConnections()
	case 2:
		c.logFault("%s: away", name)
		c.setFault(p, faultproxy.Unreachable, maxDuration, outage)
	case 3:
		c.logFault("%s: black hole", name)
		c.setFault(p, faultproxy.BlackHole, maxDuration, outage)
	case 4:
		c.logFault("%s: does not answer", name)
		c.setFault(p, faultproxy.NoResponses, maxDuration, outage)
	default:
		c.logFault("%s: slow", name)
		c.setFault(p, faultproxy.Fault{Delay: 30 * time.Millisecond}, maxDuration, outage)
	}
}

// firestoreAwayForLong takes Firestore from everybody for a minute, once.
func (c *chaos) longFirestoreOutage() {
	if c.longOutageDone || c.hasFault(c.faultCluster.executorDeps.firestore) || c.hasFault(c.faultCluster.apiDeps.firestore) {
		return
	}
	c.longOutageDone = true
	c.logFault("Firestore away from everybody for a minute")
	for _, p := range []*faultproxy.Proxy{c.faultCluster.executorDeps.firestore, c.faultCluster.apiDeps.firestore} {
		from := time.Now()
		p.Set(faultproxy.Unreachable)
		c.active = append(c.active, activeFault{p, from.Add(time.Minute), func() { c.endOutage(p, from) }})
	}
}

// killEmulators ends Firestore and Pub/Sub as a crash does, with all that is
// asked of them just then, and starts them again on what they have written.
// Nobody writes before the recorder hears of it.
func (c *chaos) killEmulators() {
	sides := []*faultproxy.Proxy{c.faultCluster.executorDeps.firestore, c.faultCluster.apiDeps.firestore}
	if c.hasFault(sides[0]) || c.hasFault(sides[1]) {
		return
	}
	c.logFault("emulators killed")
	from := time.Now()
	c.emulators.kill()
	for _, p := range sides {
		p.Set(faultproxy.Unreachable)
	}
	select {
	case <-c.recorderReady: // from before
	default:
	}
	c.emulators.start()
	<-c.recorderReady
	for _, p := range sides {
		c.endOutage(p, from)
	}
}

func (c *chaos) setFault(p *faultproxy.Proxy, f faultproxy.Fault, maxDuration time.Duration, outage bool) {
	from := time.Now()
	p.Set(f)
	c.addFault(p, maxDuration, func() {
		if outage {
			c.endOutage(p, from)
		} else {
			p.Clear()
		}
	})
}

// recover ends an outage, and notes it with the time that clients need to find out.
func (c *chaos) endOutage(p *faultproxy.Proxy, from time.Time) {
	const findOut = 10 * time.Second
	p.Clear()
	c.recorder.RecordOutage(history.TimeRange{From: from, To: time.Now().Add(findOut)})
}

// repeatMessages announces again what was announced before, in another order.
func (c *chaos) republish() {
	c.logFault("messages repeated")
	q := queue.New(c.pubsub)
	defer q.Close()
	versions := c.recorder.History().Versions
	lanes := map[execution.Lane]execution.Change{}
	for range min(50, len(versions)) {
		if e := versions[c.random.IntN(len(versions))].Execution; e != nil {
			lanes[e.Lane] = execution.Change{Execution: *e, Notify: append(lanes[e.Lane].Notify, e.Ref())}
		}
	}
	for _, change := range lanes {
		_ = q.Publish(c.t.Context(), change) // what is not heard here was a repetition
	}
}
