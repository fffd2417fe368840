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

// The environment of TestSoak: how long it goes on ("10m"; without it, it is
// left out), and the seed to repeat one with.
const (
	soakEnv = "AIRLOCK_TEST_SOAK_DURATION"
	seedEnv = "AIRLOCK_TEST_SOAK_SEED"
)

// What a soak is made of.
const (
	soakExecutors = 3
	soakClients   = 10
	// soakLate is how long after it fell due something may still be as it was,
	// where Firestore and Pub/Sub were there: docs/reliability.md promises it.
	soakMaxOverdue = 30 * time.Second
)

// TestSoak does to a whole Airlock what can be done to it, at random and for a
// long time, while clients use it. Nobody may notice but by waiting.
func TestSoak(t *testing.T) {
	value := os.Getenv(soakEnv)
	if value == "" {
		t.Skip("make soak runs it")
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
	c.startAll()
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
		h.MaxOverdue = soakMaxOverdue
		violations = history.Check(h)
		return len(violations) == 0
	}
	pollUntil(holds, 5*time.Minute)
	for _, v := range violations {
		t.Error(v)
	}
	t.Logf("%d faults: %v", c.totalFaults(), c.faultCounts)
	t.Log(history.Summarize(l.recorder.History()))

	// What killed executors had taken comes again, and what was put off for want of
	// Firestore; what they have left is removed by one that starts.
	pollUntil(func() bool { return len(l.pendingMessages()) == 0 }, 5*time.Minute)
	c.executors = append(c.executors, l.startExecutor())
	for _, p := range c.executors {
		p.signalAndWait(t, syscall.SIGTERM)
	}
	l.requireCleanedUp()
	require.True(t, holds(), "%v", violations)
}

// patient looks until it holds, or the time is over.
func pollUntil(holds func() bool, limit time.Duration) {
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(limit)
	for !holds() {
		select {
		case <-ticker.C:
		case <-timeout:
			return
		}
	}
}
