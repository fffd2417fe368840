package e2e

import (
	"syscall"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/history"
)

// pickExecutor returns a random executor, and false if that one is stopped.
func (c *chaos) pickExecutor() (int, bool) {
	i := c.random.IntN(len(c.executors))
	return i, !c.hasFault(c.executors[i])
}

func (c *chaos) killExecutor() {
	if i, ok := c.pickExecutor(); ok {
		c.logFault("executor killed")
		c.executors[i].signalAndWait(c.t, syscall.SIGKILL)
		c.recordDeath(c.executors[i])
		c.executors[i] = c.launchExecutor()
	}
}

func (c *chaos) restartExecutor() {
	if i, ok := c.pickExecutor(); ok {
		c.logFault("executor restarted")
		replacement := c.launchExecutor()
		c.executors[i].signalAndWait(c.t, syscall.SIGTERM)
		c.executors[i] = replacement
	}
}

// pauseExecutor stops an executor for a while: half of the times for longer than its session lasts.
func (c *chaos) pauseExecutor() {
	if i, ok := c.pickExecutor(); ok {
		c.logFault("executor paused")
		p, from := c.executors[i], time.Now()
		c.pause(p, 3*fleet.SessionLease, func() {
			c.recorder.RecordInterruption(history.Interruption{Executor: c.names[p], From: from, To: time.Now()})
		})
	}
}

// pauseAPI stops the API for a while: its clients get no answers.
func (c *chaos) pauseAPI() {
	if !c.hasFault(c.apiProcess) {
		c.logFault("API paused")
		c.pause(c.apiProcess, fleet.SessionLease, func() {})
	}
}

// pauseEmulators stops Firestore and Pub/Sub for a while.
func (c *chaos) pauseEmulators() {
	if !c.hasFault(c.emulators.process) {
		c.logFault("emulators paused")
		from := time.Now()
		c.pause(c.emulators.process, 12*time.Second, func() { c.recordOutage(from) })
	}
}

// pause stops a process for a random time. resumed is called when it goes on.
func (c *chaos) pause(p *process, maxDuration time.Duration, resumed func()) {
	_ = p.Process.Signal(syscall.SIGSTOP) // fails if the process has exited
	c.addFault(p, maxDuration, func() {
		_ = p.Process.Signal(syscall.SIGCONT)
		resumed()
	})
}

// crashExecutor replaces an executor by one that kills itself at a random failpoint.
func (c *chaos) crashExecutor() {
	points := []failpoint.Point{
		failpoint.Pulled, failpoint.Claimed, failpoint.JobFinished, failpoint.ResultWritten, failpoint.Published, failpoint.Swept, failpoint.BatchDispatched,
	}
	if i, ok := c.pickExecutor(); ok {
		point := points[c.random.IntN(len(points))]
		c.logFault("executor with failpoint %s", point)
		c.executors[i].signalAndWait(c.t, syscall.SIGTERM)
		c.executors[i] = c.launchCrashing(point)
	}
}

func (c *chaos) replaceAPI() {
	if c.hasFault(c.apiProcess) {
		return
	}
	switch c.random.IntN(3) {
	case 0:
		c.logFault("API killed")
		c.apiProcess.signalAndWait(c.t, syscall.SIGKILL)
		c.startAPIAsync()
	case 1:
		c.logFault("API restarted")
		c.apiProcess.signalAndWait(c.t, syscall.SIGTERM)
		c.startAPIAsync()
	default:
		c.logFault("API with failpoint %s", failpoint.Accepted)
		c.apiProcess.signalAndWait(c.t, syscall.SIGTERM)
		c.armed[c.startAPIAsync(failpointEnv(failpoint.Accepted))] = true
	}
}

// injectServiceFault disturbs Firestore or Pub/Sub for the API or for the executors.
func (c *chaos) injectServiceFault() {
	services := []struct {
		name  string
		proxy *faultproxy.Proxy
	}{
		{"Firestore for the API", c.apiDeps.firestore},
		{"Pub/Sub for the API", c.apiDeps.pubsub},
		{"Firestore for the executors", c.executorDeps.firestore},
		{"Pub/Sub for the executors", c.executorDeps.pubsub},
	}
	service := services[c.random.IntN(len(services))]
	c.injectFault(service.name, service.proxy, 12*time.Second, true)
}

func (c *chaos) injectEngineFault() { c.injectFault("the Engine", c.engineProxy, 8*time.Second, false) }

// injectFault applies a random fault to a proxy. isOutage means that overdue work is not a violation meanwhile.
func (c *chaos) injectFault(name string, p *faultproxy.Proxy, maxDuration time.Duration, isOutage bool) {
	if c.hasFault(p) {
		return
	}
	set := func(f faultproxy.Fault) {
		from := time.Now()
		p.Set(f)
		c.addFault(p, maxDuration, func() {
			if isOutage {
				c.endOutage(p, from)
			} else {
				p.Clear()
			}
		})
	}
	switch c.random.IntN(6) {
	case 0:
		c.logFault("%s: connections reset", name)
		p.ResetConnections()
	case 1:
		c.logFault("%s: connections half-closed", name)
		p.HalfCloseConnections()
	case 2:
		c.logFault("%s: unreachable", name)
		set(faultproxy.Unreachable)
	case 3:
		c.logFault("%s: black hole", name)
		set(faultproxy.BlackHole)
	case 4:
		c.logFault("%s: no responses", name)
		set(faultproxy.NoResponses)
	default:
		delays := []time.Duration{30 * time.Millisecond, 150 * time.Millisecond, 500 * time.Millisecond}
		delay := delays[c.random.IntN(len(delays))]
		c.logFault("%s: slow by %s", name, delay)
		set(faultproxy.Fault{Delay: delay})
	}
}

// longFirestoreOutage makes Firestore unreachable for all processes for a minute, once in a soak.
func (c *chaos) longFirestoreOutage() {
	proxies := c.firestoreProxies()
	if c.longOutageDone || c.hasFault(proxies[0]) || c.hasFault(proxies[1]) {
		return
	}
	c.longOutageDone = true
	c.logFault("Firestore unreachable for all processes for a minute")
	for _, p := range proxies {
		from := time.Now()
		p.Set(faultproxy.Unreachable)
		c.active = append(c.active, activeFault{p, from.Add(time.Minute), func() { c.endOutage(p, from) }})
	}
}

// killEmulators kills Firestore and Pub/Sub during their calls and starts them
// again on their stored data. No process can write before the recorder is
// connected again, because the recorder would miss those versions.
func (c *chaos) killEmulators() {
	proxies := c.firestoreProxies()
	if c.hasFault(proxies[0]) || c.hasFault(proxies[1]) || c.hasFault(c.emulators.process) {
		return
	}
	c.logFault("emulators killed")
	from := time.Now()
	c.emulators.kill()
	for _, p := range proxies {
		p.Set(faultproxy.Unreachable)
	}
	select {
	case <-c.recorderReady: // a value from before the kill
	default:
	}
	c.emulators.start()
	<-c.recorderReady
	for _, p := range proxies {
		c.endOutage(p, from)
	}
}

func (c *chaos) firestoreProxies() []*faultproxy.Proxy {
	return []*faultproxy.Proxy{c.executorDeps.firestore, c.apiDeps.firestore}
}

// endOutage ends a fault, and records the outage.
func (c *chaos) endOutage(p *faultproxy.Proxy, from time.Time) {
	p.Clear()
	c.recordOutage(from)
}

// recordOutage records an outage that ends now, together with the time that clients need to connect again.
func (c *chaos) recordOutage(from time.Time) {
	const reconnectTime = 10 * time.Second
	c.recorder.RecordOutage(history.TimeRange{From: from, To: time.Now().Add(reconnectTime)})
}

// republish publishes notifications of random executions again.
func (c *chaos) republish() {
	c.logFault("notifications repeated")
	q := queue.New(c.pubsub)
	defer q.Close()
	versions := c.recorder.History().Versions
	var change execution.Change
	for range min(50, len(versions)) {
		if e := versions[c.random.IntN(len(versions))].Execution; e != nil {
			change.Notify = append(change.Notify, e.Runnable())
		}
	}
	_ = q.Publish(c.t.Context(), change) // a lost repetition changes nothing
}
