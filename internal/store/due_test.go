package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestDueAcrossTenantsOldestFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	due := func(limit int) []execution.Ref {
		t.Helper()
		now, err := f.Now(t.Context())
		require.NoError(t, err)
		refs, err := f.DueExecutions(t.Context(), now, new(Scan), limit)
		require.NoError(t, err)
		return refs
	}
	adaRef := f.submitRun(t, ada)
	f.clock.Advance(time.Second)
	bobRef := f.submitRun(t, bob)
	f.clock.Advance(time.Second)
	canceled := f.submitRun(t, ada)
	f.mustApply(t, canceled, execution.CancelRequested{})
	require.Empty(t, due(10), "nothing is due yet")

	f.clock.Advance(44 * time.Second)
	require.Equal(t, []execution.Ref{adaRef, bobRef}, due(10), "queued and not claimed")
	require.Equal(t, []execution.Ref{adaRef}, due(1))

	f.mustApply(t, adaRef, claimEvent)
	require.Equal(t, []execution.Ref{bobRef}, due(10), "the other one is running")
	f.mustApply(t, bobRef, execution.Overdue{})
	require.Empty(t, due(10), "both are notified or running")

	f.clock.Advance(lease)
	require.Equal(t, []execution.Ref{adaRef}, due(10), "its lease has expired")
	f.mustApply(t, adaRef, execution.Overdue{})
	f.mustApply(t, adaRef, claimEvent)
	f.mustApply(t, adaRef, execution.AttemptFailed{Attempt: 2})
	require.Empty(t, due(10), "it waits for its back-off")
	f.clock.Advance(5 * time.Second)
	require.Equal(t, []execution.Ref{adaRef}, due(10))
}
