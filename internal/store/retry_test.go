package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func failed(attempt int) execution.Finished {
	failure := execution.Failure{Code: execution.CodeAgentError, Message: "no"}
	return execution.Finished{Attempt: attempt, Ending: failure.Ends(execution.Usage{})}
}

func TestARetryRepeatsARun(t *testing.T) {
	t.Parallel()
	f := start(t)
	ref := f.run(t, ada)
	_, err := f.Retry(t.Context(), ref)
	require.ErrorIs(t, err, execution.ErrNotEnded)
	f.applied(t, ref, claim)
	f.applied(t, ref, failed(1))
	before := f.stored(t, ref)

	f.clock.Advance(time.Hour)
	ch, err := f.Retry(t.Context(), ref)
	require.NoError(t, err)
	again := f.stored(t, ch.Execution.Ref())
	require.Equal(t, []execution.Ref{again.Ref()}, ch.Announce)
	require.Equal(t, ref.ID, again.RetryOf)
	require.Equal(t, execution.Queued, again.Status)
	require.Equal(t, before.Task, again.Task)
	require.True(t, again.CreatedAt.After(*before.FinishedAt))
	require.Equal(t, before, f.stored(t, ref), "what is repeated stays as it is")

	f.applied(t, again.Ref(), claim)
	f.applied(t, again.Ref(), finish(1, "this time"))
	_, err = f.Retry(t.Context(), again.Ref())
	require.ErrorIs(t, err, execution.ErrSucceeded)
}

func TestARetryOfATurnIsANewTurn(t *testing.T) {
	t.Parallel()
	f := start(t)
	first := f.turn(t, "", "first")
	f.applied(t, first.Ref(), claim)
	f.applied(t, first.Ref(), failed(1))
	second := f.turn(t, first.ConversationID, "second")

	ch, err := f.Retry(t.Context(), first.Ref())
	require.NoError(t, err)
	require.Empty(t, ch.Announce, "the second comes before it")
	again := f.stored(t, ch.Execution.Ref())
	require.Equal(t, 3, again.Turn)
	require.Equal(t, first.ID, again.RetryOf)
	said := f.messages(t, first)
	require.Equal(t, "first", said[len(said)-1].Text)
	require.Equal(t, again.ID, said[len(said)-1].ExecutionID)

	f.applied(t, second.Ref(), claim)
	ended := f.applied(t, second.Ref(), finish(1, "two"))
	require.Equal(t, []execution.Ref{again.Ref()}, ended.Announce)
}

func TestARetryThatIsRefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	first := f.turn(t, "", "first")
	f.applied(t, first.Ref(), claim)
	f.applied(t, first.Ref(), failed(1))

	bobs := first.Ref()
	bobs.Owner = bob
	_, err := f.Retry(t.Context(), bobs)
	require.Equal(t, &NotFoundError{Resource: "execution", ID: first.ID}, err)

	for range conversation.MaxPending {
		f.turn(t, first.ConversationID, "more")
	}
	_, err = f.Retry(t.Context(), first.Ref())
	require.ErrorIs(t, err, conversation.ErrTooManyPending)
	found, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, found, 1+conversation.MaxPending)
}
