package e2e

import (
	"testing"
	"time"
)

// The tests share the machine with each other and with other programs. So no test requires that something happens
// fast, unless Airlock promises it; and then the test uses the promised bound.
const (
	// waitLimit is how long a test waits for something that must happen. Only a failing test waits this long.
	waitLimit = 5 * time.Minute

	// recoveryLimit is the promise of docs/reliability.md: within this time, a new attempt replaces the attempt of a
	// dead executor, and overdue work is handled.
	recoveryLimit = 30 * time.Second

	// minPollInterval is the shortest pause between two checks of a condition.
	minPollInterval = 20 * time.Millisecond
)

// eventually waits until the condition holds, and fails the test if it does not within waitLimit. It is for conditions
// that no event reports. All polling of these tests uses it or pollUntil.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !pollUntil(t, waitLimit, condition) {
		t.Fatalf("not within %s: %s", waitLimit, what)
	}
}

// pollUntil checks the condition until it holds or the limit has passed, and returns whether it holds. An expensive
// condition is checked less often, so that the checks take at most half of the time.
func pollUntil(t testing.TB, limit time.Duration, condition func() bool) bool {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		began := time.Now()
		if condition() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		select {
		case <-time.After(max(minPollInterval, time.Since(began))):
		case <-t.Context().Done():
			return false
		}
	}
}

func (a *airlock) eventually(what string, condition func() bool) {
	a.t.Helper()
	eventually(a.t, what, condition)
}
