package watch_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/watch"
)

// kept is how many changes a process keeps for clients that come back.
const kept = 1000

func numbers(first, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = first + i
	}
	return all
}

// next waits for more changes.
func next(t *testing.T, f *watch.Feed) (changes []watch.Change, gap bool) {
	t.Helper()
	for {
		if changes, gap = f.Next(); gap || len(changes) > 0 {
			return changes, gap
		}
		await(t, f.Notified)
	}
}

// collect returns the numbers of the next changes, at least n.
func collect(t *testing.T, f *watch.Feed, n int) (found []int) {
	t.Helper()
	for len(found) < n {
		changes, gap := next(t, f)
		require.False(t, gap)
		for _, ch := range changes {
			found = append(found, ch.Attempt)
		}
	}
	return found
}

// A process follows a tenant, and others accept and run its executions.
func TestTenantChangesComeInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.newWatcher()
	feed, gap := w.Follow(ada, "")
	defer feed.Close()
	require.False(t, gap)
	require.NoError(t, feed.RegisterTenant(t.Context()))
	bobs, _ := w.Follow("bob", "")
	defer bobs.Close()
	start := feed.Position()
	ref := f.submit()
	f.run(ref)
	var statuses []execution.Status
	positions := []string{start}
	for len(statuses) < 3 {
		changes, gap := next(t, feed)
		require.False(t, gap)
		for _, ch := range changes {
			require.Equal(t, ref.ID, ch.ExecutionID)
			require.WithinDuration(t, time.Now(), ch.At, time.Minute)
			require.NotContains(t, positions, ch.ID)
			statuses, positions = append(statuses, ch.Status), append(positions, ch.ID)
		}
	}
	require.Equal(t, []execution.Status{execution.Queued, execution.Running, execution.Succeeded}, statuses)
	require.Equal(t, positions[3], feed.Position())
	require.Empty(t, bobs.Notified)

	// A client that comes back continues behind any change that it has seen.
	for seen, position := range positions {
		resumed, gap := w.Follow(ada, position)
		require.False(t, gap)
		require.Equal(t, position, resumed.Position())
		changes, gap := resumed.Next()
		require.False(t, gap)
		require.Len(t, changes, 3-seen)
		resumed.Close()
	}
}

func TestUnknownPositionHasGap(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, other := f.newWatcher(), f.newWatcher()
	feed, _ := w.Follow(ada, "")
	defer feed.Close()
	ofOther, _ := other.Follow(ada, "")
	defer ofOther.Close()
	for _, after := range []string{"nonsense", "-", "-0", feed.Position() + "0x", feed.Position() + "7", ofOther.Position()} {
		resumed, gap := w.Follow(ada, after)
		require.True(t, gap, after)
		require.Equal(t, feed.Position(), resumed.Position(), "it continues from now on")
		resumed.Close()
	}
}

func TestClientThatWasAwayForTooLong(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.newWatcher()
	feed, _ := w.Follow(ada, "")
	start := feed.Position()
	feed.Close() // the process keeps the changes for a while
	follower, _ := w.Follow(ada, "")
	defer follower.Close()

	deliver(t, w, 0, kept)
	resumed, gap := w.Follow(ada, start)
	require.False(t, gap)
	require.Equal(t, numbers(0, kept), collect(t, resumed, kept))
	resumed.Close()

	deliver(t, w, kept, 1)
	resumed, gap = w.Follow(ada, start)
	require.True(t, gap, "the first change is lost")
	resumed.Close()
	_, gap = follower.Next()
	require.True(t, gap, "also for a client that is connected and did not read")
	deliver(t, w, kept+1, 1)
	require.Equal(t, []int{kept + 1}, collect(t, follower, 1), "it continues")
}

// A burst from another process reaches a client that reads slowly as a whole, or the client is told of the gap.
func TestBurstReachesSlowClient(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.newWatcher()
	fast, _ := w.Follow(ada, "")
	defer fast.Close()
	slow, _ := w.Follow(ada, "")
	defer slow.Close()
	f.burst(w, 0, kept)
	require.ElementsMatch(t, numbers(0, kept), collect(t, fast, kept))
	require.ElementsMatch(t, numbers(0, kept), collect(t, slow, kept))

	f.burst(w, kept, kept+1)
	found, gap := []int(nil), false
	for len(found) <= kept && !gap { // the fast client shows that all have arrived
		var changes []watch.Change
		changes, gap = next(t, fast)
		for _, ch := range changes {
			found = append(found, ch.Attempt)
		}
	}
	require.False(t, gap)
	_, gap = slow.Next()
	require.True(t, gap)
}

// deliver sends changes within the process: they arrive at once, in their order.
func deliver(t *testing.T, w watcher, first, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, w.store.SendSignals(t.Context(), newChange(w, first+i)))
	}
}
