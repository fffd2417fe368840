package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// Work is counted by lane, for one tenant and for all, and not further than the limit.
func TestCountWork(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 3 {
		f.submitRun(t, ada)
	}
	f.mustApply(t, f.submitRun(t, bob), claimEvent)
	adas, err := f.TenantWork(t.Context(), ada, 10)
	require.NoError(t, err)
	require.Equal(t, Work{Waiting: LaneCounts{Interactive: 3}, Limit: 10}, adas)
	all, err := f.TotalWork(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, Work{Waiting: LaneCounts{Interactive: 2}, Running: LaneCounts{Interactive: 1}, Limit: 2}, all)
}

// A tenant that is resumed waits in both lanes, so that its dispatcher looks for what could not begin.
func TestTenantSettings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	none, err := f.Tenant(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, tenant.Settings{}, none.Settings)
	yes, no := true, false
	list := func(onlyWaiting bool) []NamedTenant {
		found, err := f.Tenants(t.Context(), TenantPage{Limit: 10, OnlyWaiting: onlyWaiting})
		require.NoError(t, err)
		return found
	}
	require.NoError(t, f.UpdateTenantSettings(t.Context(), ada, tenant.SettingsPatch{Paused: tenant.FieldPatch[bool]{Set: true, Value: &yes}}))
	require.Empty(t, list(true))
	require.True(t, list(false)[0].Paused)
	require.Equal(t, fleet.Partition(ada), list(false)[0].Partition)
	require.NoError(t, f.UpdateTenantSettings(t.Context(), ada, tenant.SettingsPatch{Paused: tenant.FieldPatch[bool]{Set: true, Value: &no}}))
	require.Equal(t, tenant.Backlog{Interactive: tenant.LaneWaiting, Batch: tenant.LaneWaiting}, list(true)[0].Backlog)
	after, err := f.Tenants(t.Context(), TenantPage{Limit: 10, After: ada})
	require.NoError(t, err)
	require.Empty(t, after)
}

func TestExecutorsLeaveOutAPIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for id, name := range map[string]string{"prc_1.1": "rack-1", "prc_2.1": "rack-1", "prc_3.1": "rack-2", "prc_4.1": ""} {
		require.NoError(t, f.BeginSession(t.Context(), fleet.Session{ID: id, Process: fleet.ProcessOf(id), Name: name}))
	}
	first, now, err := f.Executors(t.Context(), ExecutorPage{Limit: 2})
	require.NoError(t, err)
	require.WithinDuration(t, first[0].RenewedAt, now, time.Minute)
	rest, _, err := f.Executors(t.Context(), ExecutorPage{Limit: 2, AfterName: first[1].Name, AfterSession: first[1].ID})
	require.NoError(t, err)
	require.Len(t, rest, 1)
	require.Equal(t, []string{"prc_1.1", "prc_2.1", "prc_3.1"}, []string{first[0].ID, first[1].ID, rest[0].ID})
}
