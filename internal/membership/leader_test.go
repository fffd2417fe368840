package membership

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
)

// The first process leads. Every process that joins gets its share of the partitions at once, and the fleet document
// has the sum of all.
func TestProcessesShareThePartitions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.start("a")
	f.awaitOwners("a")
	f.start("b")
	f.start("c")
	f.awaitOwners("a", "b", "c")
	require.True(t, a.leader.Leads())
	published := f.published()
	require.Equal(t, "a", published.Leader)
	require.Equal(t, 3, published.Executors)
	require.Equal(t, map[execution.Lane]int{execution.LaneInteractive: 12, execution.LaneBatch: 9}, published.Slots)
	require.Len(t, fleet.MovedPartitions(fleet.Assign(nil, []string{"a"}), published.Owners), 3)
}

// A leader that stops resigns and ends its session: another one leads at once, reaps the session, and has its
// partitions.
func TestStoppedLeaderIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.start("a")
	f.awaitOwners("a")
	b := f.start("b")
	f.awaitOwners("a", "b")
	session, _ := a.Current()
	a.stop()
	f.eventually(b.leader.Leads)
	f.awaitOwners("b")
	f.eventually(func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.expired) == 1
	})
	require.Equal(t, session.ID, b.expired[0])
}
