package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func failureEvent(attempt int) execution.JobEnded {
	failure := execution.Failure{Code: execution.CodeAgentError, Message: "no"}
	return execution.JobEnded{Attempt: attempt, Ending: failure.Ending(execution.Usage{})}
}

func TestRetryRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	_, err := f.Retry(t.Context(), ref, nil, nil)
	require.ErrorIs(t, err, execution.ErrNotFinished)
	f.mustApply(t, ref, claimEvent)
	f.mustApply(t, ref, failureEvent(1))
	before := f.getExecution(t, ref)

	f.clock.Advance(time.Hour)
	ch, err := f.Retry(t.Context(), ref, nil, nil)
	require.NoError(t, err)
	retry := f.getExecution(t, ch.Execution.Ref())
	require.Equal(t, []execution.Ref{retry.Ref()}, madeReady(ch))
	require.Equal(t, ref.ID, retry.RetryOf)
	require.Equal(t, execution.Queued, retry.Status)
	require.Equal(t, before.Task, retry.Task)
	require.True(t, retry.CreatedAt.After(*before.FinishedAt))
	require.Equal(t, before, f.getExecution(t, ref), "the repeated execution does not change")

	f.mustApply(t, retry.Ref(), claimEvent)
	f.mustApply(t, retry.Ref(), successEvent(1, "done"))
	_, err = f.Retry(t.Context(), retry.Ref(), nil, nil)
	require.ErrorIs(t, err, execution.ErrSucceeded)
}

func TestRetryTurnAppendsTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "first")
	f.mustApply(t, first.Ref(), claimEvent)
	f.mustApply(t, first.Ref(), failureEvent(1))
	second := f.submitTurn(t, first.ConversationID, "second")

	ch, err := f.Retry(t.Context(), first.Ref(), nil, nil)
	require.NoError(t, err)
	require.Empty(t, ch.Notify, "the second turn comes first")
	retry := f.getExecution(t, ch.Execution.Ref())
	require.Equal(t, 3, retry.Turn)
	require.Equal(t, first.ID, retry.RetryOf)
	transcript := f.listMessages(t, first)
	require.Equal(t, "first", transcript[len(transcript)-1].Text)
	require.Equal(t, retry.ID, transcript[len(transcript)-1].ExecutionID)

	f.mustApply(t, second.Ref(), claimEvent)
	finished := f.mustApply(t, second.Ref(), successEvent(1, "two"))
	require.Equal(t, []execution.Ref{retry.Ref()}, madeReady(finished))
}

func TestRejectedRetryStoresNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "first")
	f.mustApply(t, first.Ref(), claimEvent)
	f.mustApply(t, first.Ref(), failureEvent(1))

	otherTenantRef := first.Ref()
	otherTenantRef.Tenant = bob
	_, err := f.Retry(t.Context(), otherTenantRef, nil, nil)
	require.Equal(t, &NotFoundError{Resource: "execution", ID: first.ID}, err)

	for range conversation.MaxPending {
		f.submitTurn(t, first.ConversationID, "more")
	}
	_, err = f.Retry(t.Context(), first.Ref(), nil, nil)
	require.ErrorIs(t, err, conversation.ErrTooManyPending)
	found, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, found, 1+conversation.MaxPending)
}

// exhaustAttempts makes an execution fail because all its attempts failed.
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
		ch, err := f.Redrive(t.Context(), ref, nil)
		require.NoError(t, err)
		require.Equal(t, ref.ID, f.getExecution(t, ch.Execution.Ref()).RetryOf)
		require.Equal(t, []execution.Ref{ch.Execution.Ref()}, madeReady(ch))
		_, err = f.Redrive(t.Context(), ref, nil)
		require.ErrorIs(t, err, ErrAlreadyRedriven)
		_, err = f.Redrive(t.Context(), ch.Execution.Ref(), nil)
		require.ErrorIs(t, err, execution.ErrNotFinished)
	}
	require.Len(t, f.listMessages(t, turn), 3, "the redrive adds exactly one message")
	all, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 4)
}
