package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// What is revoked while it is used does not come back.
func TestAUseBringsNoRevokedKeyBack(t *testing.T) {
	t.Parallel()
	f := start(t)
	k := apikey.Key{ID: "key_1", Owner: ada, Hash: "h", Scopes: []tenant.Scope{tenant.Read}}
	require.NoError(t, f.CreateKey(t.Context(), &k, 0))
	found, now, err := f.KeyByHash(t.Context(), "h")
	require.NoError(t, err)
	require.Nil(t, found.UsedAt)
	require.NoError(t, f.KeyUsed(t.Context(), found, now))
	found, _, err = f.KeyByHash(t.Context(), "h")
	require.NoError(t, err)
	require.WithinDuration(t, now, *found.UsedAt, 0)

	require.NoError(t, f.RevokeKey(t.Context(), ada, k.ID))
	require.NoError(t, f.KeyUsed(t.Context(), found, now))
	_, _, err = f.KeyByHash(t.Context(), "h")
	require.ErrorIs(t, err, apikey.ErrUnknown)
}
