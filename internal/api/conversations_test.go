package api

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestDeleteConversationCancelsTurns(t *testing.T) {
	s := startServer(t)
	ctx := t.Context()
	running := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"first"}`)
	queued := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, fmt.Sprintf(`{"message":"second","conversationId":%q}`, running.ConversationId))
	ref := execution.Ref{Tenant: defaultTenant, ID: running.ExecutionId}
	_, err := s.store.Apply(ctx, ref, execution.Claimed{Executor: "x"})
	require.NoError(t, err)

	path := "/api/conversation/" + running.ConversationId
	require.Equal(t, http.StatusNotFound, s.do(http.MethodDelete, path, "", "X-User-Id", "bob").StatusCode)
	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, path, "").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodDelete, path, "").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, path, "").StatusCode)
	require.Empty(t, call[contract.ConversationList](s, "GET /api/conversations", http.StatusOK, "").Conversations)
	messages, err := s.store.Messages(ctx, defaultTenant, running.ConversationId, 0, 10)
	require.NoError(t, err)
	require.Empty(t, messages)

	require.Equal(t, contract.StatusCanceled, call[contract.Execution](s, "GET "+queued.Urls.Self, http.StatusOK, "").Status)
	require.True(t, call[contract.Execution](s, "GET "+running.Urls.Self, http.StatusOK, "").CancelRequested)
	// The executor finishes the execution. There is no conversation for its reply.
	_, err = s.store.Apply(ctx, ref, execution.JobEnded{Attempt: 1, Ending: execution.NewCanceledFailure().Ending(execution.Usage{})})
	require.NoError(t, err)
	require.Equal(t, contract.StatusCanceled, call[contract.Execution](s, "GET "+running.Urls.Self, http.StatusOK, "").Status)
	messages, err = s.store.Messages(ctx, defaultTenant, running.ConversationId, 0, 10)
	require.NoError(t, err)
	require.Empty(t, messages, "no reply is stored")
}
