package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/test/history"
)

// The variables of TestSoak: its duration, such as "10m", and the seed of an
// earlier soak. Without a duration the test is skipped.
const (
	soakEnv = "AIRLOCK_TEST_SOAK_DURATION"
	seedEnv = "AIRLOCK_TEST_SOAK_SEED"
)

const (
	soakExecutors = 3
	soakSlots     = 4 // of each executor, see commonEnv; one of them takes no batches

	// Faults happen for chaosTime; then there are none for calmTime. The effects of the last ones are repaired within
	// repairTime, the longest bound of docs/reliability.md that applies: that of a lost notification.
	chaosTime  = 2 * time.Minute
	calmTime   = 2 * time.Minute
	repairTime = 65 * time.Second

	clientsPerTenant = 3
	floodClients     = 2   // of the tenant that floods
	floodBacklog     = 100 // runs that each of them submits at once
)

// soakTenants submit runs, batches and turns, and floodTenant more than the executors can run.
var soakTenants = []string{"ada", "bob", "cleo"}

const floodTenant = "flood"

// TestSoak injects random faults into a whole Airlock for a long time while
// several tenants use it. They may notice only delays: nothing is lost or
// doubled, and no tenant waits for longer than its share explains. From time to
// time there are no faults, so that the waits are also checked without them.
func TestSoak(t *testing.T) {
	value := os.Getenv(soakEnv)
	if value == "" {
		t.Skip("`make soak` runs it")
	}
	duration, err := time.ParseDuration(value)
	require.NoError(t, err)
	seed := rand.Uint64()
	if value := os.Getenv(seedEnv); value != "" {
		seed, err = strconv.ParseUint(value, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", seedEnv, seed)
	defer time.AfterFunc(duration+4*waitLimit, func() { panic("the soak does not end") }).Stop()

	c := newChaos(t, seed)
	deadline := time.Now().Add(duration)
	target := newSoakTarget(c.recorder)
	target.setURL(c.URL)
	clients := c.startClients(target, seed, deadline)
	for time.Now().Before(deadline) {
		c.chaosPhase(target, deadline)
		c.calmPhase(target, deadline)
	}
	require.NoError(t, clients.Wait())

	var violations []history.Violation
	holds := func() bool {
		violations = history.Check(c.history())
		return len(violations) == 0
	}
	pollUntil(t, waitLimit, func() bool { return history.Summarize(c.history()).Lost == 0 })
	pollUntil(t, recoveryLimit, holds) // a batch finishes after its executions; a wait that was too long stays so
	for _, v := range violations {
		t.Error(v)
	}
	stats := history.Summarize(c.history())
	t.Logf("%d faults: %v", c.totalFaults(), c.faultCounts)
	t.Logf("%s\nWaits: %s\nRequeues: %s", stats, stats.Waits, stats.Requeues)
	if duration >= chaosTime+calmTime {
		require.Positive(t, stats.Waits.Faultless, "no wait was checked without faults")
	}

	// Pub/Sub delivers again what killed executors held, and what was handed back during an outage. An executor that
	// starts removes what killed ones have left.
	pollUntil(t, waitLimit, func() bool { return len(c.pendingMessages()) == 0 })
	c.executors = append(c.executors, c.startExecutor())
	for _, p := range c.executors {
		p.signalAndWait(t, syscall.SIGTERM)
	}
	c.requireCleanedUp()
	require.True(t, holds(), "%v", violations)
}

// startClients starts the clients of all tenants, which send requests until the deadline.
func (c *chaos) startClients(target *soakTarget, seed uint64, deadline time.Time) *errgroup.Group {
	clients, count := new(errgroup.Group), uint64(0)
	start := func(tenant, agent string) *soakClient {
		count++
		return &soakClient{soakTarget: target, random: rand.New(rand.NewPCG(seed, count)), tenant: tenant, agent: agent}
	}
	for _, tenant := range soakTenants {
		agent := c.asTenant(tenant).createAgent(echoAgent).Id
		for range clientsPerTenant {
			client := start(tenant, agent)
			clients.Go(func() error { return client.loop(c.t.Context(), deadline, client.doRandom) })
		}
	}
	agent := c.asTenant(floodTenant).createAgent(echoAgent).Id
	for range floodClients {
		client := start(floodTenant, agent)
		clients.Go(func() error { return client.loop(c.t.Context(), deadline, client.flood) })
	}
	return clients
}

// chaosPhase injects faults, and ends them.
func (c *chaos) chaosPhase(target *soakTarget, deadline time.Time) {
	began := time.Now()
	for time.Since(began) < chaosTime && time.Now().Before(deadline) {
		target.setURL(c.URL)
		c.injectNext()
	}
	c.calmDown()
	target.setURL(c.URL)
	c.recorder.RecordFaults(history.TimeRange{From: began, To: time.Now().Add(repairTime)})
}

// calmPhase injects no faults.
func (c *chaos) calmPhase(target *soakTarget, deadline time.Time) {
	c.t.Logf("%s no faults for %s", time.Now().Format("15:04:05.000"), calmTime)
	for began := time.Now(); time.Since(began) < calmTime && time.Now().Before(deadline); {
		c.wait(time.Second)
		c.replaceExited() // a failpoint may have been hit while the process was being stopped
		target.setURL(c.URL)
	}
}

// history returns what was recorded, with the bounds of the soak.
func (c *chaos) history() history.History {
	h := c.recorder.History()
	h.MaxOverdue = recoveryLimit
	h.Slots = map[execution.Lane]int{
		execution.LaneInteractive: soakExecutors * soakSlots,
		execution.LaneBatch:       soakExecutors * (soakSlots - 1),
	}
	return h
}
