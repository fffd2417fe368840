package janitor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

// leave stores an execution that its creator left to the dispatcher.
func (f *fixture) leave(tenantName string) {
	f.t.Helper()
	a := agent.Agent{Tenant: tenantName, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(f.t, f.store.CreateAgent(f.t.Context(), &a, nil))
	await := func(*tenant.Tenant, *execution.Execution) (store.Placement, error) { return store.AwaitDispatcher, nil }
	_, err := f.store.SubmitRun(f.t.Context(), store.RunRequest{Tenant: tenantName, AgentID: a.ID, Input: "x", Place: await})
	require.NoError(f.t, err)
}

func (f *fixture) laneOf(tenantName string) tenant.LaneState {
	f.t.Helper()
	stored, err := f.store.Tenant(f.t.Context(), tenantName)
	require.NoError(f.t, err)
	return stored.Backlog.Interactive
}

// An execution that waits in a lane that is not marked is found, and its dispatcher looks.
func TestUnmarkedLaneIsMarked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	j := f.newJanitor(f.store, Retention{})
	for _, name := range []string{"a", "b", "b.c", "paused", "z"} {
		f.leave(name)
		f.leave(name)
	}
	yes := true
	require.NoError(t, f.store.UpdateTenantSettings(t.Context(), "paused", tenant.SettingsPatch{Paused: tenant.FieldPatch[bool]{Set: true, Value: &yes}}))
	require.NoError(t, f.store.MarkWaiting(t.Context(), "b", execution.LaneInteractive, ""))
	marked, err := f.store.Tenant(t.Context(), "b")
	require.NoError(t, err)
	require.NoError(t, j.markWaiting(t.Context()))
	require.Equal(t, tenant.LaneIdle, f.laneOf("a"), "it may be published soon")

	f.clock.Advance(unmarkedAge)
	f.leave("new")
	f.submit() // was published
	require.NoError(t, j.markWaiting(t.Context()))
	for name, want := range map[string]tenant.LaneState{
		"a": tenant.LaneWaiting, "b": tenant.LaneWaiting, "b.c": tenant.LaneWaiting, "z": tenant.LaneWaiting,
		"paused": tenant.LaneIdle, "new": tenant.LaneIdle, ada: tenant.LaneIdle,
	} {
		require.Equal(t, want, f.laneOf(name), name)
	}
	again, err := f.store.Tenant(t.Context(), "b")
	require.NoError(t, err)
	require.Equal(t, marked.MarkedAt, again.MarkedAt, "it is not written")
}

// The look costs the same however many executions wait.
func TestLookForUnmarkedLanesReadsLittle(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const tenants, each = 5, 20
	for i := range tenants {
		for range each {
			f.leave(fmt.Sprint("t", i))
		}
		require.NoError(t, f.store.MarkWaiting(t.Context(), fmt.Sprint("t", i), execution.LaneInteractive, ""))
	}
	f.clock.Advance(time.Hour)
	before := f.firestore.Server.Report().Total.Reads.Sum()
	require.NoError(t, f.newJanitor(f.store, Retention{}).markWaiting(t.Context()))
	require.Equal(t, int64(2*tenants+1), f.firestore.Server.Report().Total.Reads.Sum()-before)
}
