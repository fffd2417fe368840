package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/caller"
	"github.com/airlock-run/airlock/internal/key"
)

// What is revoked while it is used does not come back.
func TestAUseBringsNoRevokedKeyBack(t *testing.T) {
	t.Parallel()
	f := start(t)
	k := key.Key{ID: "key_1", Owner: ada, Hash: "h", Scopes: []caller.Scope{caller.Read}}
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
	require.ErrorIs(t, err, key.ErrUnknown)
}
