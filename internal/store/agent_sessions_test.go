package store

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// finishTurn claims a turn and finishes it.
func (f fixture) finishTurn(t *testing.T, e execution.Execution, ending execution.Ending) {
	t.Helper()
	f.mustApply(t, e.Ref(), claimEvent)
	f.mustApply(t, e.Ref(), execution.JobEnded{Attempt: 1, Ending: ending})
}

// withSession returns an ending whose turn left a session.
func withSession(ending execution.Ending, e execution.Execution) execution.Ending {
	ending.NewSession = &execution.AgentSession{
		ExecutionID: e.ID, Attempt: 1, Turn: e.Turn, Runtime: "claude", Model: "m", Size: 7,
		Content: execution.Content{Size: 5, SHA256: bytes.Repeat([]byte("x"), 32)},
	}
	return ending
}

func (f fixture) getAgentSession(t *testing.T, conversationID string) *execution.AgentSession {
	t.Helper()
	c, err := f.Conversation(t.Context(), ada, conversationID)
	require.NoError(t, err)
	return c.Session
}

// The session of a conversation is that of the newest turn that left one, however that turn ended.
func TestSessionIsFromNewestTurnThatLeftOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "one")
	con := first.ConversationID
	require.Nil(t, f.getAgentSession(t, con))
	ending := withSession(successEnding("ok"), first)
	f.finishTurn(t, first, ending)
	require.Equal(t, ending.NewSession, f.getAgentSession(t, con))

	f.finishTurn(t, f.submitTurn(t, con, "two"), successEnding("ok"))
	require.Equal(t, 1, f.getAgentSession(t, con).Turn, "the messages have the second turn")

	third := f.submitTurn(t, con, "three")
	f.finishTurn(t, third, withSession(execution.NewCanceledFailure().Ending(execution.Usage{}), third))
	require.Equal(t, 3, f.getAgentSession(t, con).Turn)
	f.finishTurn(t, f.submitTurn(t, con, "four"), (&execution.Failure{Code: execution.CodeTimedOut}).Ending(execution.Usage{}))
	require.Equal(t, 3, f.getAgentSession(t, con).Turn)
}

// An attempt that has lost its lease replaces no session.
func TestAttemptWithLostLeaseStoresNoSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	e := f.submitTurn(t, "", "one")
	f.mustApply(t, e.Ref(), claimEvent)
	f.mustApply(t, e.Ref(), execution.LeaseExpired{})
	_, err := f.Apply(t.Context(), e.Ref(), execution.JobEnded{Attempt: 1, Ending: withSession(successEnding("late"), e)})
	require.ErrorIs(t, err, execution.ErrLeaseLost)
	require.Nil(t, f.getAgentSession(t, e.ConversationID))
}

// The change says that no conversation refers to the session, so the executor deletes its content.
func TestSessionOfDeletedConversationIsNotStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	e := f.submitTurn(t, "", "one")
	f.mustApply(t, e.Ref(), claimEvent)
	_, err := f.DeleteConversation(t.Context(), ada, e.ConversationID)
	require.NoError(t, err)
	ch := f.mustApply(t, e.Ref(), execution.JobEnded{Attempt: 1, Ending: withSession(successEnding("ok"), e)})
	require.Equal(t, execution.Succeeded, ch.Execution.Status)
	require.Nil(t, ch.Execution.NewSession)
}

func withWorkspace(ending execution.Ending, e execution.Execution) execution.Ending {
	ending.Workspace = &execution.Workspace{ExecutionID: e.ID, Attempt: 1, Content: execution.Content{Size: 1, SHA256: []byte{1}}}
	return ending
}

// The contents of a session and of a workspace are below their execution. So that stays for as long as the conversation
// needs them, and then it is deleted.
func TestExpiredExecutionStaysWhileItsContentsAreNeeded(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]func(execution.Ending, execution.Execution) execution.Ending{
		"session": withSession, "workspace": withWorkspace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			var a artifacts
			first := f.submitTurn(t, "", "one")
			f.finishTurn(t, first, with(successEnding("ok"), first))
			deleted := f.submitTurn(t, "", "of a conversation that is deleted")
			f.finishTurn(t, deleted, with(successEnding("ok"), deleted))
			f.clock.Advance(retention - time.Hour)
			second := f.submitTurn(t, first.ConversationID, "two")
			f.clock.Advance(2 * time.Hour)
			_, err := f.DeleteConversation(t.Context(), ada, deleted.ConversationID)
			require.NoError(t, err)

			f.purge(t, f.ExpiredExecutions, &a)
			require.Equal(t, []execution.Ref{deleted.Ref()}, a.deleted)
			require.True(t, f.exists(t, first.Ref()))
			f.finishTurn(t, second, with(successEnding("ok"), second))
			f.purge(t, f.ExpiredExecutions, &a)
			require.Equal(t, []execution.Ref{deleted.Ref(), first.Ref()}, a.deleted)
			require.False(t, f.exists(t, first.Ref()))
		})
	}
}

// The largest reply and receipt fit into their documents.
func TestLargestEndingFitsDocuments(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	e := f.submitTurn(t, "", "one")
	ending := withSession(successEnding(string(bytes.Repeat([]byte("x"), execution.MaxResultBytes))), e)
	ending.Receipt = string(bytes.Repeat([]byte("x"), 16<<10))
	f.finishTurn(t, e, ending)
	stored, err := f.Execution(t.Context(), e.Ref())
	require.NoError(t, err)
	require.Equal(t, ending.Receipt, stored.Receipt)
	require.Nil(t, stored.NewSession, "the session is stored with the conversation")
}
