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

	_, now, err := f.NextDue(t.Context())
	require.NoError(t, err)
	next, _, err := f.NextDue(t.Context())
	require.NoError(t, err)
	require.True(t, next.After(now))
	require.Equal(t, next.UTC(), f.getExecution(t, bobRef).Due.UTC(), "the next one")
	f.mustApply(t, adaRef, execution.LeaseExpired{})
	f.mustApply(t, adaRef, claimEvent)
	f.mustApply(t, adaRef, execution.AttemptFailed{Attempt: 2})
	require.Empty(t, due(10), "it waits for its back-off")
	f.clock.Advance(5 * time.Second)
	require.Equal(t, []execution.Ref{adaRef}, due(10))
}

// The leader finds what runs under a session, and nothing else. An attempt that ended leaves the session.
func TestExecutionsOfSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	refs := []execution.Ref{f.submitRun(t, ada), f.submitRun(t, bob), f.submitRun(t, ada)}
	for i, session := range []string{"prc_1.1", "prc_1.1", "prc_1.2"} {
		f.mustApply(t, refs[i], execution.Claimed{Executor: "x1", Session: session, ClaimID: "c"})
	}
	running := func() []execution.Ref {
		found, err := f.ExecutionsOfSession(t.Context(), "prc_1.1", new(Scan), 10)
		require.NoError(t, err)
		return found
	}
	require.ElementsMatch(t, refs[:2], running())
	f.mustApply(t, refs[0], execution.StartFailed{Session: "prc_1.1", Attempt: 1, Reason: "no image"})
	require.Equal(t, refs[1:2], running())
	require.Equal(t, 1, f.getExecution(t, refs[0]).StartFailures.Count)
}
