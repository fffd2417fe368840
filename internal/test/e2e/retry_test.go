package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

func (a *airlock) problem(method, path string, status int) (p contract.Problem) {
	a.t.Helper()
	a.call(method, path, status, nil).decode(a.t, &p)
	return p
}

func TestRetryFailedExecutions(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(contract.CreateAgent{Name: "N", Instructions: "I", Runtime: "offline"})
	failed := a.awaitExecution(a.runAgent(agent.Id, `{"offline":{"exit":3}}`).ExecutionId)
	require.Equal(t, contract.StatusFailed, failed.Status)

	var accepted contract.AcceptedExecution
	got := a.post(failed.Urls.Retry, nil, &accepted)
	require.Equal(t, accepted.Urls.Self, got.Header.Get("Location"))
	retry := a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, failed.Id, retry.RetryOf)
	require.Equal(t, failed.Input, retry.Input)
	require.Equal(t, failed.Status, retry.Status)

	succeeded := a.awaitExecution(a.runAgent(agent.Id, "one two").ExecutionId)
	require.Equal(t, contract.ProblemNothingToRetry, a.problem(http.MethodPost, succeeded.Urls.Retry, http.StatusConflict).Code)
	running := a.runAgent(agent.Id, `{"offline":{"sleep":"60s"}}`)
	require.Equal(t, contract.ProblemExecutionNotFinished, a.problem(http.MethodPost, running.Urls.Retry, http.StatusConflict).Code)
	a.cancel(running.Urls.Cancel)
	require.Equal(t, contract.StatusCanceled, a.awaitExecution(running.ExecutionId).Status)
}

// The cancellation of a conversation ends its running turn and its queued turns. No
// queued turn starts.
func TestCanceledConversationStartsNoTurn(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(contract.CreateAgent{Name: "N", Instructions: "I", Runtime: "offline"})
	turns := []contract.AcceptedExecution{a.sendMessage(contract.SendMessage{AgentId: agent.Id, Message: `{"offline":{"sleep":"60s"}}`})}
	conversation := turns[0].ConversationId
	for range 3 {
		turns = append(turns, a.sendMessage(contract.SendMessage{ConversationId: conversation, Message: `{"offline":{"sleep":"60s"}}`}))
	}
	a.awaitStatus(turns[0].ExecutionId, contract.StatusRunning)

	var canceled contract.CanceledConversation
	a.post("/api/conversation/"+conversation+"/cancel", nil, &canceled)
	require.Subset(t, []string{turns[0].ExecutionId}, canceled.Pending)
	for i, turn := range turns {
		e := a.awaitExecution(turn.ExecutionId)
		require.Equal(t, contract.StatusCanceled, e.Status)
		if i > 0 {
			require.Zero(t, e.Attempt, "a queued turn started")
		}
	}
	a.post("/api/conversation/"+conversation+"/cancel", nil, &canceled)
	require.Empty(t, canceled.Pending)
}
