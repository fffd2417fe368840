package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// Pages of the queued executions come in the order of acceptance, without those of batches, those of other tenants, and
// those that wait for their back-off.
func TestQueuedInPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var refs []execution.Ref
	for range 5 {
		refs = append(refs, f.submitRun(t, ada))
		f.clock.Advance(time.Second)
	}
	f.submitRun(t, bob)
	b := f.submitBatch(t, "x")
	f.dispatch(t, b.Ref())
	f.mustApply(t, refs[0], claimEvent)
	f.mustApply(t, refs[1], claimEvent)
	f.mustApply(t, refs[1], execution.AttemptFailed{Attempt: 1}) // back-off

	var found []string
	page := QueuedPage{}
	for !page.Last {
		var err error
		page, err = f.Queued(t.Context(), ada, page.From, page.After, 2)
		require.NoError(t, err)
		for _, c := range page.Candidates {
			require.Equal(t, "offline", c.Runtime)
			found = append(found, c.ID)
		}
	}
	require.Equal(t, []string{refs[2].ID, refs[3].ID, refs[4].ID}, found)
	overlap, err := f.Queued(t.Context(), ada, page.From, "", 10)
	require.NoError(t, err)
	require.Equal(t, []dispatch.Candidate{{ID: refs[4].ID, Runtime: "offline"}}, overlap.Candidates)

	running, err := f.Running(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, []dispatch.Candidate{{ID: refs[0].ID, Runtime: "offline"}}, running)
}

func TestStandings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var ids []string
	for range maxNames + 5 {
		ids = append(ids, f.submitRun(t, ada).ID)
	}
	f.mustApply(t, execution.Ref{Tenant: ada, ID: ids[0]}, execution.CancelRequested{})
	f.mustApply(t, execution.Ref{Tenant: ada, ID: ids[1]}, claimEvent)
	f.mustApply(t, execution.Ref{Tenant: ada, ID: ids[1]}, execution.AttemptFailed{Attempt: 1})
	standings, err := f.Standings(t.Context(), ada, append(ids, "exe_missing"))
	require.NoError(t, err)
	require.Len(t, standings, len(ids))
	require.Equal(t, execution.Canceled, standings[ids[0]].Status)
	require.Equal(t, execution.Queued, standings[ids[1]].Status)
	require.Positive(t, standings[ids[1]].Deferred, "its back-off")
	require.Equal(t, execution.Queued, standings[ids[len(ids)-1]].Status)
	require.LessOrEqual(t, standings[ids[len(ids)-1]].Deferred, time.Duration(0))
}

// A dispatcher that has seen a lane empty does not undo a later mark.
func TestBacklogOfTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	woken := make(chan signal.Signal, 1)
	f.OpenInbox("prc_1", func(s signal.Signal) { woken <- s })
	require.NoError(t, f.MarkWaiting(t.Context(), ada, execution.LaneInteractive, "prc_1"))
	require.Equal(t, ada, (<-woken).Tenant)
	require.NoError(t, f.MarkWaiting(t.Context(), ada, execution.LaneBatch, ""))
	backlogged := func() []string {
		names, err := f.BackloggedTenants(t.Context(), []int{fleet.Partition(ada), fleet.Partition(bob)})
		require.NoError(t, err)
		return names
	}
	require.Equal(t, []string{ada}, backlogged())

	seen, err := f.Tenant(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, tenant.Backlog{Interactive: tenant.LaneWaiting, Batch: tenant.LaneWaiting}, seen.Backlog)
	require.NoError(t, f.MarkWaiting(t.Context(), ada, execution.LaneInteractive, ""))
	changed, err := f.SetBacklog(t.Context(), ada, seen, tenant.Backlog{})
	require.NoError(t, err)
	require.False(t, changed, "something waits since it was read")

	seen, err = f.Tenant(t.Context(), ada)
	require.NoError(t, err)
	changed, err = f.SetBacklog(t.Context(), ada, seen, tenant.Backlog{})
	require.NoError(t, err)
	require.True(t, changed)
	require.Empty(t, backlogged())
	none, err := f.Tenant(t.Context(), bob)
	require.NoError(t, err)
	require.Equal(t, fleet.Partition(bob), none.Partition)
}
