package txn

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	database = name.Database{Project: "p", ID: "d"}
	path     = name.Path{"c", "d"}
)

func begin(t *testing.T, r *Registry) *Transaction {
	t.Helper()
	tx := r.Begin(database, nil)
	t.Cleanup(func() { r.End([]byte(tx.ID)) })
	return tx
}

func TestUncontendedReadDoesNotWait(t *testing.T) {
	r := NewRegistry(time.Now)
	for range 3 {
		require.NoError(t, begin(t, r).AcquireContended(t.Context(), []name.Path{path}))
	}
}

func TestContendedReadsAreSerialized(t *testing.T) {
	r := NewRegistry(time.Now)
	r.contention.recordConflict(documentKey{database, path.String()})
	first, second := begin(t, r), begin(t, r)
	require.NoError(t, first.AcquireContended(t.Context(), []name.Path{path}))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, second.AcquireContended(ctx, []name.Path{path}), context.Canceled, "first holds the queue")
	require.NoError(t, second.AcquireContended(ctx, []name.Path{{"c", "other"}}))

	r.End([]byte(first.ID))
	require.NoError(t, second.AcquireContended(t.Context(), []name.Path{path}))
}

func TestContendedReadTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(time.Now)
		r.contention.recordConflict(documentKey{database, path.String()})
		idle, next := begin(t, r), begin(t, r)
		require.NoError(t, idle.AcquireContended(t.Context(), []name.Path{path}))
		began := time.Now()
		require.NoError(t, next.AcquireContended(t.Context(), []name.Path{path}))
		require.Equal(t, maxQueueWait, time.Since(began))
		r.Close()
		r.End([]byte(idle.ID)) // idle does not hold the queue any more, so this must not release it for another one
	})
}

func TestRegistryUse(t *testing.T) {
	r := NewRegistry(time.Now)
	tx := begin(t, r)
	got, err := r.Use(database, []byte(tx.ID))
	require.NoError(t, err)
	require.Same(t, tx, got)
	_, err = r.Use(name.Database{Project: "q", ID: "d"}, []byte(tx.ID))
	require.Error(t, err, "a transaction belongs to its database")
	r.End([]byte(tx.ID))
	_, err = r.Use(database, []byte(tx.ID))
	require.Error(t, err)
}
