package store

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// finishTurn claims a turn and finishes it.
func (f fixture) finishTurn(t *testing.T, e execution.Execution, ending execution.Ending) {
	t.Helper()
	f.mustApply(t, e.Ref(), claimEvent)
	f.mustApply(t, e.Ref(), execution.JobEnded{Attempt: 1, Ending: ending})
}

func endingWithSession(data []byte) execution.Ending {
	return execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{Text: "ok"},
		NewSession: &execution.AgentSession{Runtime: "claude", Model: "m", Data: data},
	}
}

func (f fixture) getAgentSession(t *testing.T, tenant, conversationID string) *execution.AgentSession {
	t.Helper()
	s, err := f.AgentSession(t.Context(), tenant, conversationID)
	require.NoError(t, err)
	return s
}

// The agent session of a conversation is the one of its newest finished turn. Other tenants cannot read it.
func TestSessionIsFromNewestTurn(t *testing.T) {
	f := newFixture(t)
	first := f.submitTurn(t, "", "one")
	con := first.ConversationID
	require.Nil(t, f.getAgentSession(t, ada, con))

	f.finishTurn(t, first, endingWithSession([]byte("one")))
	require.Equal(t, &execution.AgentSession{Runtime: "claude", Model: "m", Data: []byte("one")}, f.getAgentSession(t, ada, con))
	require.Nil(t, f.getAgentSession(t, bob, con))

	f.finishTurn(t, f.submitTurn(t, con, "two"), endingWithSession([]byte("two")))
	require.Equal(t, "two", string(f.getAgentSession(t, ada, con).Data))

	f.finishTurn(t, f.submitTurn(t, con, "three"), execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "ok"}})
	require.Nil(t, f.getAgentSession(t, ada, con), "after a turn without an agent session, the messages hold more than the old one")
}

// An agent session may be the cause of a failure, so the next turn runs without one.
func TestFailedTurnDeletesSession(t *testing.T) {
	f := newFixture(t)
	first := f.submitTurn(t, "", "one")
	f.finishTurn(t, first, endingWithSession([]byte("one")))
	failure := execution.Failure{Code: execution.CodeAgentError}
	f.finishTurn(t, f.submitTurn(t, first.ConversationID, "two"), failure.Ending(execution.Usage{}))
	require.Nil(t, f.getAgentSession(t, ada, first.ConversationID))
}

// An attempt that has lost its lease stores no agent session.
func TestAttemptWithLostLeaseStoresNoSession(t *testing.T) {
	f := newFixture(t)
	e := f.submitTurn(t, "", "one")
	f.mustApply(t, e.Ref(), claimEvent)
	f.mustApply(t, e.Ref(), execution.LeaseExpired{})
	_, err := f.Apply(t.Context(), e.Ref(), execution.JobEnded{Attempt: 1, Ending: endingWithSession([]byte("late"))})
	require.ErrorIs(t, err, execution.ErrLeaseLost)
	require.Nil(t, f.getAgentSession(t, ada, e.ConversationID))
}

// The largest agent session, reply and receipt fit into their documents.
func TestLargestEndingFitsDocuments(t *testing.T) {
	f := newFixture(t)
	e := f.submitTurn(t, "", "one")
	ending := endingWithSession(bytes.Repeat([]byte("x"), execution.MaxAgentSessionBytes))
	ending.Result.Text = string(bytes.Repeat([]byte("x"), execution.MaxResultBytes))
	ending.Receipt = string(bytes.Repeat([]byte("x"), 16<<10))
	f.finishTurn(t, e, ending)
	require.Len(t, f.getAgentSession(t, ada, e.ConversationID).Data, execution.MaxAgentSessionBytes)
	stored, err := f.Execution(t.Context(), e.Ref())
	require.NoError(t, err)
	require.Equal(t, ending.Receipt, stored.Receipt)
	require.Nil(t, stored.NewSession, "the agent session is stored with the conversation")
}
