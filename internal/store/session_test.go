package store

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// finish ends a claimed turn.
func (f fixture) finish(t *testing.T, e execution.Execution, ending execution.Ending) {
	t.Helper()
	f.applied(t, e.Ref(), claim)
	f.applied(t, e.Ref(), execution.Finished{Attempt: 1, Ending: ending})
}

func leaving(data []byte) execution.Ending {
	return execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{Text: "ok"},
		Left: &execution.Session{Runtime: "claude", Model: "m", Data: data},
	}
}

func (f fixture) session(t *testing.T, owner, conversationID string) *execution.Session {
	t.Helper()
	s, err := f.Session(t.Context(), owner, conversationID)
	require.NoError(t, err)
	return s
}

// The session of a conversation is what its newest ended turn left, and only
// its owner's.
func TestASessionIsOfTheNewestTurn(t *testing.T) {
	f := start(t)
	first := f.turn(t, "", "one")
	con := first.ConversationID
	require.Nil(t, f.session(t, ada, con))

	f.finish(t, first, leaving([]byte("one")))
	require.Equal(t, &execution.Session{Runtime: "claude", Model: "m", Data: []byte("one")}, f.session(t, ada, con))
	require.Nil(t, f.session(t, bob, con))

	f.finish(t, f.turn(t, con, "two"), leaving([]byte("two")))
	require.Equal(t, "two", string(f.session(t, ada, con).Data))

	f.finish(t, f.turn(t, con, "three"), execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "ok"}})
	require.Nil(t, f.session(t, ada, con), "a turn that left nothing: the messages hold more than the old session")
}

// A turn that failed may have failed for its session: the next does without.
func TestAFailedTurnLeavesNoSession(t *testing.T) {
	f := start(t)
	first := f.turn(t, "", "one")
	f.finish(t, first, leaving([]byte("one")))
	failure := execution.Failure{Code: execution.CodeAgentError}
	f.finish(t, f.turn(t, first.ConversationID, "two"), failure.Ends(execution.Usage{}))
	require.Nil(t, f.session(t, ada, first.ConversationID))
}

// An attempt that lost its lease writes no session either.
func TestALostAttemptLeavesNoSession(t *testing.T) {
	f := start(t)
	e := f.turn(t, "", "one")
	f.applied(t, e.Ref(), claim)
	f.clock.Advance(2 * lease)
	_, err := f.Apply(t.Context(), e.Ref(), execution.Finished{Attempt: 1, Ending: leaving([]byte("late"))})
	require.ErrorIs(t, err, execution.ErrLeaseLost)
	require.Nil(t, f.session(t, ada, e.ConversationID))
}

// The largest session, reply and receipt fit, each into its document.
func TestTheLargestEndingFits(t *testing.T) {
	f := start(t)
	e := f.turn(t, "", "one")
	ending := leaving(bytes.Repeat([]byte("x"), execution.MaxSession))
	ending.Result.Text = string(bytes.Repeat([]byte("x"), execution.MaxResult))
	ending.Receipt = string(bytes.Repeat([]byte("x"), 16<<10))
	f.finish(t, e, ending)
	require.Len(t, f.session(t, ada, e.ConversationID).Data, execution.MaxSession)
	stored, err := f.Execution(t.Context(), e.Ref())
	require.NoError(t, err)
	require.Equal(t, ending.Receipt, stored.Receipt)
	require.Nil(t, stored.Left, "it is the conversation's")
}

// What an agent may spend goes with the task, as it was when it was accepted.
func TestTheBudgetGoesWithTheTask(t *testing.T) {
	f := start(t)
	a := f.agent(t, ada)
	a.Budget.MaxTokens, a.Budget.MaxCostUSD = 100, 0.5
	require.NoError(t, f.CreateAgent(t.Context(), &a))
	ch, err := f.SubmitRun(t.Context(), Run{Owner: ada, AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	stored, err := f.Execution(t.Context(), ch.Execution.Ref())
	require.NoError(t, err)
	require.Equal(t, a.Budget, stored.Task.Budget)
}
