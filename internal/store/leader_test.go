package store

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

const leaderLease = 8 * time.Second

func (f fixture) acquireLeadership(t *testing.T, name string) bool {
	t.Helper()
	isLeader, now, err := f.AcquireLeadership(t.Context(), name, leaderLease)
	require.NoError(t, err)
	require.WithinDuration(t, f.clock.Now(), now, time.Second, "the time is Firestore's")
	return isLeader
}

func TestLeadershipExpiresWithLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.True(t, f.acquireLeadership(t, "a"))
	require.False(t, f.acquireLeadership(t, "b"))
	f.clock.Advance(leaderLease / 2)
	require.True(t, f.acquireLeadership(t, "a"), "renewed")
	f.clock.Advance(leaderLease / 2)
	require.False(t, f.acquireLeadership(t, "b"))
	f.clock.Advance(leaderLease / 2)
	require.True(t, f.acquireLeadership(t, "b"))
	require.False(t, f.acquireLeadership(t, "a"), "its lease has expired")
}

func TestResignReleasesLeadership(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.ReleaseLeadership(t.Context(), "a"), "a janitor that does not lead releases nothing")
	require.True(t, f.acquireLeadership(t, "a"))
	require.NoError(t, f.ReleaseLeadership(t.Context(), "b"))
	require.False(t, f.acquireLeadership(t, "b"))
	require.NoError(t, f.ReleaseLeadership(t.Context(), "a"))
	require.True(t, f.acquireLeadership(t, "b"))
}

func TestConcurrentCandidatesElectOneLeader(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var elected atomic.Int32
	var g errgroup.Group
	for i := range 20 {
		g.Go(func() error {
			isLeader, _, err := f.AcquireLeadership(t.Context(), fmt.Sprint("janitor", i), leaderLease)
			if isLeader {
				elected.Add(1)
			}
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, elected.Load())
}
