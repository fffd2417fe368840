package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// Recording a use does not restore a key that was revoked in the meantime.
func TestRecordAPIKeyUseAfterRevoke(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	k := apikey.Key{ID: "key_1", Tenant: ada, Hash: "h", Scopes: []tenant.Scope{tenant.ScopeRead}}
	require.NoError(t, f.CreateAPIKey(t.Context(), &k, 0))
	found, now, err := f.APIKeyByHash(t.Context(), "h")
	require.NoError(t, err)
	require.Nil(t, found.LastUsedAt)
	require.NoError(t, f.RecordAPIKeyUse(t.Context(), found, now))
	found, _, err = f.APIKeyByHash(t.Context(), "h")
	require.NoError(t, err)
	require.WithinDuration(t, now, *found.LastUsedAt, 0)

	require.NoError(t, f.RevokeAPIKey(t.Context(), ada, k.ID))
	require.NoError(t, f.RecordAPIKeyUse(t.Context(), found, now))
	_, _, err = f.APIKeyByHash(t.Context(), "h")
	require.ErrorIs(t, err, apikey.ErrNotFound)
}
