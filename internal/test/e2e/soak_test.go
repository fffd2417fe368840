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
	soakClients   = 10
)

// TestSoak injects random faults into a whole Airlock for a long time while
// clients use it. Clients may notice only delays.
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

	l := newPersistentFaultCluster(t, t.TempDir(), "AIRLOCK_BATCH_WINDOW=20")
	c := &chaos{faultCluster: l, random: rand.New(rand.NewPCG(seed, 0)), faultCounts: map[string]int{}}
	c.useSickEngine()
	for range soakExecutors {
		c.executors = append(c.executors, l.startExecutor())
	}
	target, agent := newSoakTarget(l.recorder), l.createEchoAgent()
	var clients errgroup.Group
	deadline := time.Now().Add(duration)
	for i := range soakClients {
		random := rand.New(rand.NewPCG(seed, uint64(i+1)))
		clients.Go(func() error {
			return (&soakClient{soakTarget: target, random: random, agent: agent}).loop(t.Context(), deadline)
		})
	}
	for time.Now().Before(deadline) {
		target.setURL(l.URL)
		c.injectNext()
	}
	c.clearAll()
	target.setURL(l.URL)
	require.NoError(t, clients.Wait())

	var violations []history.Violation
	holds := func() bool {
		h := l.recorder.History()
		h.MaxOverdue = recoveryLimit
		violations = history.Check(h)
		return len(violations) == 0
	}
	pollUntil(t, waitLimit, holds)
	for _, v := range violations {
		t.Error(v)
	}
	t.Logf("%d faults: %v", c.totalFaults(), c.faultCounts)
	t.Log(history.Summarize(l.recorder.History()))

	// Pub/Sub delivers again what killed executors held, and what was handed back during an outage. An executor that
	// starts removes what killed ones have left.
	pollUntil(t, waitLimit, func() bool { return len(l.pendingMessages()) == 0 })
	c.executors = append(c.executors, l.startExecutor())
	for _, p := range c.executors {
		p.signalAndWait(t, syscall.SIGTERM)
	}
	l.requireCleanedUp()
	require.True(t, holds(), "%v", violations)
}
