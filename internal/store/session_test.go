package store

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// finish ends a claimed turn.
func (f fixture) finishTurn(t *testing.T, e execution.Execution, ending execution.Ending) {
	t.Helper()
	f.mustApply(t, e.Ref(), claimEvent)
	f.mustApply(t, e.Ref(), execution.Finished{Attempt: 1, Ending: ending})
}

func endingWithSession(data []byte) execution.Ending {
	return execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{Text: "ok"},
		NewSession: &execution.Session{Runtime: "claude", Model: "m", Data: data},
	}
}

func (f fixture) getSession(t *testing.T, tenant, conversationID string) *execution.Session {
	t.Helper()
	s, err := f.Session(t.Context(), tenant, conversationID)
	require.NoError(t, err)
	return s
}

// The session of a conversation is what its newest ended turn left, and only
// its tenant's.
func TestSessionIsFromNewestTurn(t *testing.T) {
	f := newFixture(t)
	first := f.submitTurn(t, "", "one")
	con := first.ConversationID
	require.Nil(t, f.getSession(t, ada, con))

	f.finishTurn(t, first, endingWithSession([]byte("one")))
	require.Equal(t, &execution.Session{Runtime: "claude", Model: "m", Data: []byte("one")}, f.getSession(t, ada, con))
	require.Nil(t, f.getSession(t, bob, con))

	f.finishTurn(t, f.submitTurn(t, con, "two"), endingWithSession([]byte("two")))
	require.Equal(t, "two", string(f.getSession(t, ada, con).Data))

	f.finishTurn(t, f.submitTurn(t, con, "three"), execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "ok"}})
	require.Nil(t, f.getSession(t, ada, con), "a turn that left nothing: the messages hold more than the old session")
}

// A turn that failed may have failed for its session: the next does without.
func TestFailedTurnDeletesSession(t *testing.T) {
	f := newFixture(t)
	first := f.submitTurn(t, "", "one")
	f.finishTurn(t, first, endingWithSession([]byte("one")))
	failure := execution.Failure{Code: execution.CodeAgentError}
	f.finishTurn(t, f.submitTurn(t, first.ConversationID, "two"), failure.Ending(execution.Usage{}))
	require.Nil(t, f.getSession(t, ada, first.ConversationID))
}

// An attempt that lost its lease writes no session either.
func TestAttemptWithLostLeaseStoresNoSession(t *testing.T) {
	f := newFixture(t)
	e := f.submitTurn(t, "", "one")
	f.mustApply(t, e.Ref(), claimEvent)
	f.clock.Advance(2 * lease)
	_, err := f.Apply(t.Context(), e.Ref(), execution.Finished{Attempt: 1, Ending: endingWithSession([]byte("late"))})
	require.ErrorIs(t, err, execution.ErrLeaseLost)
	require.Nil(t, f.getSession(t, ada, e.ConversationID))
}

// The largest session, reply and receipt fit, each into its document.
func TestLargestEndingFitsDocuments(t *testing.T) {
	f := newFixture(t)
	e := f.submitTurn(t, "", "one")
	ending := endingWithSession(bytes.Repeat([]byte("x"), execution.MaxSessionBytes))
	ending.Result.Text = string(bytes.Repeat([]byte("x"), execution.MaxResultBytes))
	ending.Receipt = string(bytes.Repeat([]byte("x"), 16<<10))
	f.finishTurn(t, e, ending)
	require.Len(t, f.getSession(t, ada, e.ConversationID).Data, execution.MaxSessionBytes)
	stored, err := f.Execution(t.Context(), e.Ref())
	require.NoError(t, err)
	require.Equal(t, ending.Receipt, stored.Receipt)
	require.Nil(t, stored.NewSession, "it is the conversation's")
}

// What an agent may spend goes with the task, as it was when it was accepted.
func TestTaskCopiesAgentBudget(t *testing.T) {
	f := newFixture(t)
	a := f.createAgent(t, ada)
	a.Budget.MaxTokens, a.Budget.MaxCostUSD = 100, 0.5
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	stored, err := f.Execution(t.Context(), ch.Execution.Ref())
	require.NoError(t, err)
	require.Equal(t, a.Budget, stored.Task.Budget)
}
