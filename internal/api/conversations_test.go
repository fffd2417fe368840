package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
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

// An agent whose runtime does not pass earlier messages on is not talked to: neither in a new conversation, nor in one
// that began before the agent got this runtime. Nothing is stored, and another tenant learns nothing of it.
func TestAgentWithoutConversations(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *Config, _ *store.Store) {
		c.Runtimes = append(c.Runtimes, "upper")
		c.Capabilities["upper"] = agent.Capabilities{}
	})
	created := call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"B","runtime":"claude"}`)
	require.True(t, created.Conversations)
	message := fmt.Sprintf(`{"message":"hello","agentId":%q}`, created.Id)
	turn := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, message)
	changed := call[contract.Agent](s, "PATCH /agents/"+created.Id, http.StatusOK, `{"runtime":"upper"}`)
	require.False(t, changed.Conversations)
	require.False(t, call[contract.AgentList](s, "GET /agents", http.StatusOK, "").Agents[0].Conversations)
	require.True(t, call[contract.Agent](s, "GET /agents/"+created.Id+"/versions/1", http.StatusOK, "").Conversations)

	for _, body := range []string{message, fmt.Sprintf(`{"message":"again","conversationId":%q}`, turn.ConversationId)} {
		refused := call[contract.Problem](s, "POST /api/conversation", http.StatusUnprocessableEntity, body)
		require.Equal(t, contract.ProblemNoConversations, refused.Code)
		for _, says := range []string{`"upper"`, "Run the agent instead", "ask the operator"} {
			require.Contains(t, refused.Detail, says)
		}
		require.Equal(t, http.StatusNotFound, s.do(http.MethodPost, "/api/conversation", body, "X-User-Id", "bob").StatusCode)
	}
	list := call[contract.ConversationList](s, "GET /api/conversations", http.StatusOK, "")
	require.Len(t, list.Conversations, 1)
	require.Equal(t, 1, list.Conversations[0].Turns)

	call[contract.AcceptedExecution](s, "POST /agents/"+created.Id+"/run", http.StatusAccepted, `{"input":"x"}`)
	pinned := fmt.Sprintf(`{"message":"to the first version","agentId":%q,"agentVersion":1}`, created.Id)
	call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, pinned)
}

// The agent builder needs a runtime that converses, too.
func TestBuilderWithoutConversations(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(c *Config, _ *store.Store) { c.Capabilities["offline"] = agent.Capabilities{} })
	refused := call[contract.Problem](s, "POST /api/conversation", http.StatusUnprocessableEntity, `{"message":"hello"}`)
	require.Equal(t, contract.ProblemNoConversations, refused.Code)
	require.Contains(t, refused.Detail, "AIRLOCK_DEFAULT_RUNTIME")
}
