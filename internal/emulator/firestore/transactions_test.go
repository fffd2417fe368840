package firestore_test

import (
	"context"
	"testing"

	client "cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/emulator/firestore"
)

func TestConcurrentIncrementsAreNotLost(t *testing.T) {
	e := start(t, firestore.Options{})
	a, b := e.dial(t, "p"), e.dial(t, "p")
	doc := a.Doc("counters/one")
	_, err := doc.Set(t.Context(), map[string]any{"n": 0})
	require.NoError(t, err)

	const increments = 80
	g, ctx := errgroup.WithContext(t.Context())
	for i := range increments {
		c := []*client.Client{a, b}[i%2]
		g.Go(func() error {
			return c.RunTransaction(ctx, func(_ context.Context, tx *client.Transaction) error {
				snap, err := tx.Get(c.Doc("counters/one"))
				if err != nil {
					return err
				}
				n, err := snap.DataAt("n")
				if err != nil {
					return err
				}
				return tx.Set(c.Doc("counters/one"), map[string]any{"n": n.(int64) + 1})
			})
		})
	}
	require.NoError(t, g.Wait())
	snap, err := doc.Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]any{"n": int64(increments)}, snap.Data())
}
