package client_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/domain/fleet"
)

func TestOperator(t *testing.T) {
	a := startTestServer(t, client.WithOperator())
	ctx := t.Context()
	me, err := a.Me(ctx)
	require.NoError(t, err)
	require.Equal(t, client.Caller{Scopes: []client.CallerScope{client.CallerOperator}}, me)

	require.NoError(t, a.store.BeginSession(ctx, fleet.Session{ID: "prc_1.1", Process: "prc_1", Kind: fleet.KindExecutor, Name: "rack 7/a"}))
	drained, err := a.DrainExecutor(ctx, "rack 7/a")
	require.NoError(t, err)
	require.True(t, drained.Draining)
	resumed, err := a.ResumeExecutor(ctx, "rack 7/a")
	require.NoError(t, err)
	require.False(t, resumed.Draining)
	for x, err := range a.Executors(ctx) {
		require.NoError(t, err)
		require.Equal(t, "prc_1.1", x.Session)
	}
	_, err = a.DrainExecutor(ctx, "rack")
	require.True(t, client.IsNotFound(err))

	changed, err := a.UpdateTenant(ctx, "ada", client.Patch{"paused": true, "maxRunning": 3, "weight": nil})
	require.NoError(t, err)
	read, err := a.Tenant(ctx, "ada")
	require.NoError(t, err)
	require.Equal(t, changed, read)
	require.Equal(t, 3, read.Limits.MaxRunning)
	var names []string
	for found, err := range a.Tenants(ctx, false) {
		require.NoError(t, err)
		require.True(t, found.Settings.Paused)
		names = append(names, found.Id)
	}
	require.Equal(t, []string{"ada"}, names)
	for found, err := range a.Tenants(ctx, true) {
		require.NoError(t, err)
		t.Errorf("%s has no waiting work", found.Id)
	}
	status, err := a.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, "test", status.Version)
}
