package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
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

// The memory of an agent is deleted with its conversation. If blob storage does not answer, it is left to the janitor.
func TestDeleteConversationDeletesAgentSession(t *testing.T) {
	t.Parallel()
	s, blobs, _ := startWithBlobs(t)
	for _, available := range []bool{true, false} {
		turn := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"first"}`)
		session := &execution.AgentSession{ExecutionID: turn.ExecutionId, Attempt: 1, Turn: 1}
		var err error
		session.Content, err = blobs.Put(t.Context(), blob.SessionKey(defaultTenant, session), strings.NewReader("memory"))
		require.NoError(t, err)
		ref := execution.Ref{Tenant: defaultTenant, ID: turn.ExecutionId}
		_, err = s.store.Apply(t.Context(), ref, execution.Claimed{Executor: "x"})
		require.NoError(t, err)
		_, err = s.store.Apply(t.Context(), ref, execution.JobEnded{Attempt: 1, Ending: execution.Ending{
			Status: execution.Succeeded, Result: &execution.Result{Text: "ok"}, NewSession: session,
		}})
		require.NoError(t, err)

		s.config.Artifacts = blobs
		if !available {
			s.config.Artifacts = unavailableBlobs{}
		}
		require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, "/api/conversation/"+turn.ConversationId, "").StatusCode)
		content, err := blobs.Get(t.Context(), blob.SessionKey(defaultTenant, session), session.Content)
		if available {
			require.ErrorIs(t, err, blob.ErrLost)
			continue
		}
		require.NoError(t, err)
		require.NoError(t, content.Close())
	}
}
