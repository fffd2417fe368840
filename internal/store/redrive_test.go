package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// exhaust has an execution fail for want of Airlock's own parts.
func (f fixture) exhaustAttempts(t *testing.T, ref execution.Ref) {
	t.Helper()
	for attempt := 1; attempt <= execution.DefaultMaxAttempts; attempt++ {
		f.mustApply(t, ref, claimEvent)
		f.mustApply(t, ref, execution.AttemptFailed{Attempt: attempt})
	}
}

func TestFailedExecutionsByCode(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old, adaRef, bobRef, other := f.submitRun(t, ada), f.submitRun(t, ada), f.submitRun(t, bob), f.submitRun(t, ada)
	f.exhaustAttempts(t, old)
	f.clock.Advance(2 * time.Hour)
	f.exhaustAttempts(t, adaRef)
	f.exhaustAttempts(t, bobRef)
	f.mustApply(t, other, claimEvent)
	f.mustApply(t, other, failureEvent(1))
	found, err := f.FailedExecutions(t.Context(), []execution.Code{execution.CodeAttemptsExhausted, execution.CodeDeadLettered}, time.Hour)
	require.NoError(t, err)
	require.Equal(t, []execution.Ref{adaRef, bobRef}, found)
	found, err = f.FailedExecutions(t.Context(), []execution.Code{execution.CodeAttemptsExhausted}, 3*time.Hour)
	require.NoError(t, err)
	require.Equal(t, []execution.Ref{old, adaRef, bobRef}, found)
}

func TestRedriveTwice(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	run := f.submitRun(t, ada)
	turn := f.submitTurn(t, "", "hello")
	f.exhaustAttempts(t, run)
	f.exhaustAttempts(t, turn.Ref())
	for _, ref := range []execution.Ref{run, turn.Ref()} {
		ch, err := f.Redrive(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, ref.ID, f.getExecution(t, ch.Execution.Ref()).RetryOf)
		require.Equal(t, []execution.Ref{ch.Execution.Ref()}, ch.Notify)
		_, err = f.Redrive(t.Context(), ref)
		require.ErrorIs(t, err, ErrAlreadyRedriven)
		_, err = f.Redrive(t.Context(), ch.Execution.Ref())
		require.ErrorIs(t, err, execution.ErrNotFinished)
	}
	require.Len(t, f.listMessages(t, turn), 3, "one question more, and no two")
	all, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 4)
}
