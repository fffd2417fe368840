package membership

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
)

// The followers of a fleet read its document at most 0.32 times a second, however many they are: those with partitions
// take turns. A leader that has stopped renewing is noticed before its lease ends, so that another one leads at once.
func TestFollowersTakeTurns(t *testing.T) {
	t.Parallel()
	const duration = 4 * time.Hour
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, n := range []int{2, 3, 7, 16, 17, 100, 1000} {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("p%04d", i))
		}
		f := store.FleetSnapshot{Fleet: fleet.Fleet{Leader: names[0], Owners: fleet.Assign(nil, names), Executors: n}}
		reads := 0
		owned := make([]bool, int(duration/time.Second)) // seconds in which a follower with partitions reads
		for _, p := range names[1:] {
			reads-- // the first one, at the start
			for at := time.Duration(0); at < duration; reads++ {
				f.Now = start.Add(at)
				f.RenewedAt = f.Now.Add(-time.Second)
				if slices.Contains(f.Owners, p) {
					owned[int(at/time.Second)] = true
				}
				at += nextPoll(f, p, time.Hour)
			}
		}
		rate := float64(reads) / duration.Seconds()
		t.Logf("%d executors: %.3f reads a second", n, rate)
		require.LessOrEqual(t, rate, 0.25+0.07, n)
		gap, longest := 0, 0
		for _, read := range owned {
			gap++
			if read {
				longest, gap = max(longest, gap), 0
			}
		}
		require.LessOrEqual(t, longest, int(pollSpacing.Seconds())+1, n)
	}
}

// A follower that sees that a renewal is missing reads again exactly when the lease ends.
func TestFollowerWaitsForTheEndOfALease(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	f := store.FleetSnapshot{Fleet: fleet.Fleet{Leader: "a", Owners: fleet.Assign(nil, []string{"a", "b"})}, Now: now}
	f.RenewedAt = now.Add(-10 * time.Second)
	require.Equal(t, fleet.SessionLease-10*time.Second, nextPoll(f, "b", time.Hour))
	require.Equal(t, fleet.SessionLease-10*time.Second, nextPoll(f, "a process without partitions", time.Hour))
}

// A process that is started after all others have died leads when the lease of the dead leader ends, however many had
// partitions.
func TestNewcomerTakesOverFromDeadFleet(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	f := store.FleetSnapshot{Fleet: fleet.Fleet{Leader: "a", Owners: fleet.Assign(nil, []string{"a", "b", "c"}), Executors: 3}, Now: now}
	f.RenewedAt = now.Add(-3 * time.Second)
	require.Equal(t, fleet.SessionLease-3*time.Second, nextPoll(f, "newcomer", time.Second))
	require.GreaterOrEqual(t, nextPoll(f, "newcomer", newcomerTime), minIdlePoll/2, "the others live")
}

// An idle fleet of n processes reads at most 1 + 0.02 n documents a second, by what Google bills. What the janitor and
// the webhook dispatcher read besides is left room for.
func TestIdleFleetIsQuiet(t *testing.T) {
	t.Parallel()
	f := newFaultFixture(t)
	const n, window = 20, 30 * time.Second
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("p%02d", i))
		f.start(names[i])
	}
	f.eventually(func() bool { return f.published().Executors == n })
	before := f.firestore.Server.Report().Total
	<-time.After(window)
	after := f.firestore.Server.Report().Total
	seconds := window.Seconds()
	reads := float64(after.Reads.Sum()-before.Reads.Sum()) / seconds
	writes := float64(after.Writes-before.Writes) / seconds
	t.Logf("%d executors: %.2f reads and %.2f writes a second", n, reads, writes)
	const othersOfTheLeader = 0.25 // due executions and deliveries, and what is past its retention
	// One list of the sessions may fall into the window, which is shorter than the time between two lists.
	require.LessOrEqual(t, reads-n/seconds, 1-othersOfTheLeader)
	require.LessOrEqual(t, writes, n/fleet.RenewInterval.Seconds()+1)
}
