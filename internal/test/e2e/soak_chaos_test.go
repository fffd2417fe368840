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
	*lab
	random    *rand.Rand
	process   *process // the API
	executors []*process
	ill       []illness
	long      bool // Firestore was away for a minute
	counts    map[string]int
}

// illness is a fault that goes on until a time.
type illness struct {
	what  any // that is ill; nothing gets two illnesses at once
	until time.Time
	heal  func()
}

func (c *chaos) begin() {
	c.process = c.serve(c.t)
	for range soakExecutors {
		c.executors = append(c.executors, c.executor(c.t))
	}
}

// step lets a little time pass, heals what has been ill for long enough, and spoils something.
func (c *chaos) step() {
	c.wait(time.Second + time.Duration(c.random.Int64N(int64(3*time.Second))))
	c.heal(time.Now())
	c.replaceTheDead()
	spoil := []func(){
		c.killExecutor, c.killExecutor, c.stopExecutor, c.restartExecutor, c.crashExecutor, c.crashExecutor, c.replaceAPI,
		c.spoilService, c.spoilService, c.spoilService, c.spoilEngine, c.repeatMessages, c.firestoreAwayForLong, c.killEmulators,
	}
	spoil[c.random.IntN(len(spoil))]()
}

func (c *chaos) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.t.Context().Done():
	}
}

func (c *chaos) note(what string, args ...any) {
	what = fmt.Sprintf(what, args...)
	c.counts[what]++
	c.t.Logf("%s %s", time.Now().Format("15:04:05.000"), what)
}

func (c *chaos) total() (n int) {
	for _, times := range c.counts {
		n += times
	}
	return n
}

func (c *chaos) heal(now time.Time) {
	var still []illness
	for _, i := range c.ill {
		if now.Before(i.until) {
			still = append(still, i)
		} else {
			i.heal()
		}
	}
	c.ill = still
}

func (c *chaos) healAll() {
	for _, i := range c.ill {
		i.heal()
	}
	c.ill = nil
	c.replaceTheDead()
}

func (c *chaos) isIll(what any) bool {
	for _, i := range c.ill {
		if i.what == what {
			return true
		}
	}
	return false
}

// fall makes something ill, for a while.
func (c *chaos) fall(what any, most time.Duration, heal func()) {
	until := time.Now().Add(time.Second + time.Duration(c.random.Int64N(int64(most))))
	c.ill = append(c.ill, illness{what, until, heal})
}

// healthy is a random executor that is not stopped.
func (c *chaos) healthy() (int, bool) {
	i := c.random.IntN(len(c.executors))
	return i, !c.isIll(c.executors[i])
}

func (c *chaos) killExecutor() {
	if i, ok := c.healthy(); ok {
		c.note("executor killed")
		c.executors[i].end(c.t, syscall.SIGKILL)
		c.executors[i] = c.hire()
	}
}

func (c *chaos) restartExecutor() {
	if i, ok := c.healthy(); ok {
		c.note("executor restarted")
		fresh := c.hire()
		c.executors[i].end(c.t, syscall.SIGTERM)
		c.executors[i] = fresh
	}
}

// stopExecutor stops one for up to twice its lease.
func (c *chaos) stopExecutor() {
	if i, ok := c.healthy(); ok {
		c.note("executor stopped for a while")
		p := c.executors[i]
		_ = p.Process.Signal(syscall.SIGSTOP) // of one that may have crashed
		c.fall(p, 30*time.Second, func() { _ = p.Process.Signal(syscall.SIGCONT) })
	}
}

// crashExecutor puts one in place of another that ends at a place of its own choice.
func (c *chaos) crashExecutor() {
	points := []failpoint.Point{failpoint.Pulled, failpoint.Claimed, failpoint.Performed, failpoint.Settled, failpoint.Told, failpoint.Swept, failpoint.Fed}
	if i, ok := c.healthy(); ok {
		point := points[c.random.IntN(len(points))]
		c.note("executor crashes when %s", point)
		c.executors[i].end(c.t, syscall.SIGTERM)
		c.executors[i] = c.hire(crashAt(point))
	}
}

// hire starts an executor, without waiting until it can pull: what it needs may be away.
func (c *chaos) hire(env ...string) *process {
	name := fmt.Sprintf("soak-%d-%d", os.Getpid(), len(c.names))
	c.names = append(c.names, name)
	return c.start(c.t, "executor", c.lab.executors.env, append([]string{"EXECUTOR_NAME=" + name}, env...)...)
}

func (c *chaos) replaceTheDead() {
	for i, p := range c.executors {
		if dead(p) {
			p.end(c.t, syscall.SIGKILL)
			c.executors[i] = c.hire()
		}
	}
	if dead(c.process) {
		c.process.end(c.t, syscall.SIGKILL)
		c.process = c.listen()
	}
}

// dead reports whether a process has ended and waits to be buried.
func dead(p *process) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	return err != nil || strings.Contains(string(status), ") Z ")
}

// listen starts an API, without waiting until it is ready.
func (c *chaos) listen(env ...string) *process {
	p := c.start(c.t, "api", c.lab.api.env, append(env, "LISTEN=127.0.0.1:0")...)
	c.URL = "http://" + p.await(c.t, `"API is listening".*"address":"([^"]+)"`)
	return p
}

func (c *chaos) replaceAPI() {
	switch c.random.IntN(3) {
	case 0:
		c.note("API killed")
		c.process.end(c.t, syscall.SIGKILL)
		c.process = c.listen()
	case 1:
		c.note("API restarted")
		c.process.end(c.t, syscall.SIGTERM)
		c.process = c.listen()
	default:
		c.note("API crashes when accepted")
		c.process.end(c.t, syscall.SIGTERM)
		c.process = c.listen(crashAt(failpoint.Accepted))
	}
}

// spoilService does something to Firestore or Pub/Sub, as one side sees it.
func (c *chaos) spoilService() {
	services := map[string]*faultproxy.Proxy{
		"Firestore for the API": c.lab.api.firestore, "Pub/Sub for the API": c.lab.api.pubsub,
		"Firestore for the executors": c.lab.executors.firestore, "Pub/Sub for the executors": c.lab.executors.pubsub,
	}
	names := []string{"Firestore for the API", "Pub/Sub for the API", "Firestore for the executors", "Pub/Sub for the executors"}
	name := names[c.random.IntN(len(names))]
	c.spoil(name, services[name], 12*time.Second, true)
}

func (c *chaos) spoilEngine() { c.spoil("the Engine", c.engine, 8*time.Second, false) }

func (c *chaos) spoil(name string, p *faultproxy.Proxy, most time.Duration, outage bool) {
	if c.isIll(p) {
		return
	}
	switch c.random.IntN(6) {
	case 0:
		c.note("%s: cut", name)
		p.Cut()
	case 1:
		c.note("%s: half-closed", name)
		p.HalfClose()
	case 2:
		c.note("%s: away", name)
		c.suffer(p, faultproxy.Away, most, outage)
	case 3:
		c.note("%s: black hole", name)
		c.suffer(p, faultproxy.BlackHole, most, outage)
	case 4:
		c.note("%s: does not answer", name)
		c.suffer(p, faultproxy.Deaf, most, outage)
	default:
		c.note("%s: slow", name)
		c.suffer(p, faultproxy.Fault{Delay: 30 * time.Millisecond}, most, outage)
	}
}

// firestoreAwayForLong takes Firestore from everybody for a minute, once.
func (c *chaos) firestoreAwayForLong() {
	if c.long || c.isIll(c.lab.executors.firestore) || c.isIll(c.lab.api.firestore) {
		return
	}
	c.long = true
	c.note("Firestore away from everybody for a minute")
	for _, p := range []*faultproxy.Proxy{c.lab.executors.firestore, c.lab.api.firestore} {
		from := time.Now()
		p.Set(faultproxy.Away)
		c.ill = append(c.ill, illness{p, from.Add(time.Minute), func() { c.recover(p, from) }})
	}
}

// killEmulators ends Firestore and Pub/Sub as a crash does, with all that is
// asked of them just then, and starts them again on what they have written.
// Nobody writes before the recorder hears of it.
func (c *chaos) killEmulators() {
	sides := []*faultproxy.Proxy{c.lab.executors.firestore, c.lab.api.firestore}
	if c.isIll(sides[0]) || c.isIll(sides[1]) {
		return
	}
	c.note("emulators killed")
	from := time.Now()
	c.emulators.kill()
	for _, p := range sides {
		p.Set(faultproxy.Away)
	}
	select {
	case <-c.recording: // from before
	default:
	}
	c.emulators.start()
	<-c.recording
	for _, p := range sides {
		c.recover(p, from)
	}
}

func (c *chaos) suffer(p *faultproxy.Proxy, f faultproxy.Fault, most time.Duration, outage bool) {
	from := time.Now()
	p.Set(f)
	c.fall(p, most, func() {
		if outage {
			c.recover(p, from)
		} else {
			p.Heal()
		}
	})
}

// recover ends an outage, and notes it with the time that clients need to find out.
func (c *chaos) recover(p *faultproxy.Proxy, from time.Time) {
	const findOut = 10 * time.Second
	p.Heal()
	c.recorder.Away(history.Span{From: from, To: time.Now().Add(findOut)})
}

// repeatMessages announces again what was announced before, in another order.
func (c *chaos) repeatMessages() {
	c.note("messages repeated")
	q := queue.New(c.pubsub)
	defer q.Close()
	versions := c.recorder.History().Versions
	lanes := map[execution.Lane]execution.Change{}
	for range min(50, len(versions)) {
		if e := versions[c.random.IntN(len(versions))].Execution; e != nil {
			lanes[e.Lane] = execution.Change{Execution: *e, Announce: append(lanes[e.Lane].Announce, e.Ref())}
		}
	}
	for _, change := range lanes {
		_ = q.Tell(c.t.Context(), change) // what is not heard here was a repetition
	}
}
