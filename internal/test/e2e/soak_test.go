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
	soakEnv = "SOAK"
	seedEnv = "SOAK_SEED"
)

// What a soak is made of.
const (
	soakExecutors = 3
	soakClients   = 10
	// soakLate is how long after it fell due something may still be as it was,
	// where Firestore and Pub/Sub were there: docs/reliability.md promises it.
	soakLate = 30 * time.Second
)

// TestSoak does to a whole Airlock what can be done to it, at random and for a
// long time, while clients use it. Nobody may notice but by waiting.
func TestSoak(t *testing.T) {
	given := os.Getenv(soakEnv)
	if given == "" {
		t.Skip("make soak runs it")
	}
	long, err := time.ParseDuration(given)
	require.NoError(t, err)
	seed := rand.Uint64()
	if given := os.Getenv(seedEnv); given != "" {
		seed, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d", seedEnv, seed)

	l := newLabOn(t, t.TempDir(), "BATCH_WINDOW=20")
	c := &chaos{lab: l, random: rand.New(rand.NewPCG(seed, 0)), counts: map[string]int{}}
	c.begin()
	crowd, agent := newCrowd(l.recorder), l.echo()
	var clients errgroup.Group
	over := time.Now().Add(long)
	for i := range soakClients {
		random := rand.New(rand.NewPCG(seed, uint64(i+1)))
		clients.Go(func() error { return (&soakClient{crowd: crowd, random: random, agent: agent}).use(t.Context(), over) })
	}
	for time.Now().Before(over) {
		crowd.setURL(l.URL)
		c.step()
	}
	c.healAll()
	crowd.setURL(l.URL)
	require.NoError(t, clients.Wait())

	var found []history.Violation
	ended := func() bool {
		h := l.recorder.History()
		h.Late = soakLate
		found = history.Check(h)
		return len(found) == 0
	}
	patient(ended, 5*time.Minute)
	for _, v := range found {
		t.Error(v)
	}
	t.Logf("%d faults: %v", c.total(), c.counts)
	t.Log(history.Sum(l.recorder.History()))

	// What killed executors had taken comes again, and what was put off for want of
	// Firestore; what they have left is removed by one that starts.
	patient(func() bool { return len(l.messages()) == 0 }, 5*time.Minute)
	c.executors = append(c.executors, l.executor(t))
	for _, p := range c.executors {
		p.end(t, syscall.SIGTERM)
	}
	l.nothingLeft()
	require.True(t, ended(), "%v", found)
}

// patient looks until it holds, or the time is over.
func patient(holds func() bool, most time.Duration) {
	look := time.NewTicker(500 * time.Millisecond)
	defer look.Stop()
	over := time.After(most)
	for !holds() {
		select {
		case <-look.C:
		case <-over:
			return
		}
	}
}
