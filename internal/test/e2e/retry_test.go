package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

func (a *airlock) problem(method, path string, status int) contract.Problem {
	a.t.Helper()
	var p contract.Problem
	a.call(method, path, status, nil, &p)
	return p
}

func TestRetryFailedExecutions(t *testing.T) {
	t.Parallel()
	a := start(t)
	one := a.createAgent(contract.CreateAgent{Name: "N", Instructions: "I", Runtime: "offline"})
	failed := a.awaitExecution(a.runAgent(one.Id, `{"offline":{"exit":3}}`).ExecutionId)
	require.Equal(t, contract.StatusFailed, failed.Status)

	var accepted contract.AcceptedExecution
	got := a.call(http.MethodPost, failed.Urls.Retry, http.StatusAccepted, nil, &accepted)
	require.Equal(t, accepted.Urls.Self, got.Header.Get("Location"))
	again := a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, failed.Id, again.RetryOf)
	require.Equal(t, failed.Input, again.Input)
	require.Equal(t, failed.Status, again.Status)

	fine := a.awaitExecution(a.runAgent(one.Id, "one two").ExecutionId)
	require.Equal(t, contract.ProblemNothingToRetry, a.problem(http.MethodPost, fine.Urls.Retry, http.StatusConflict).Code)
	slow := a.runAgent(one.Id, `{"offline":{"sleep":"60s"}}`)
	require.Equal(t, contract.ProblemExecutionNotFinished, a.problem(http.MethodPost, slow.Urls.Retry, http.StatusConflict).Code)
	a.call(http.MethodPost, slow.Urls.Cancel, http.StatusAccepted, nil, nil)
	require.Equal(t, contract.StatusCanceled, a.awaitExecution(slow.ExecutionId).Status)
}

// Cancelling a conversation ends the turn that runs and all that wait, of which none begins.
func TestCanceledConversationStartsNoTurn(t *testing.T) {
	t.Parallel()
	a := start(t)
	one := a.createAgent(contract.CreateAgent{Name: "N", Instructions: "I", Runtime: "offline"})
	turns := []contract.AcceptedExecution{a.sendMessage(contract.SendMessage{AgentId: one.Id, Message: `{"offline":{"sleep":"60s"}}`})}
	conversation := turns[0].ConversationId
	for range 3 {
		turns = append(turns, a.sendMessage(contract.SendMessage{ConversationId: conversation, Message: `{"offline":{"sleep":"60s"}}`}))
	}
	a.eventually("the first turn runs", func() bool { return a.getExecution(turns[0].ExecutionId).Status == contract.StatusRunning })

	var canceled contract.CanceledConversation
	a.call(http.MethodPost, "/api/conversation/"+conversation+"/cancel", http.StatusAccepted, nil, &canceled)
	require.Subset(t, []string{turns[0].ExecutionId}, canceled.Pending)
	for i, turn := range turns {
		e := a.awaitExecution(turn.ExecutionId)
		require.Equal(t, contract.StatusCanceled, e.Status)
		if i > 0 {
			require.Zero(t, e.Attempt, "it never began")
		}
	}
	a.call(http.MethodPost, "/api/conversation/"+conversation+"/cancel", http.StatusAccepted, nil, &canceled)
	require.Empty(t, canceled.Pending)
}
