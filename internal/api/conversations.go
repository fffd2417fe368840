package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/conversation"
	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/id"
	"github.com/airlock-run/airlock/internal/store"
)

// shownMessages is how many of a conversation's newest messages are shown.
const shownMessages = 500

// SendMessage accepts one turn of a conversation.
func (s *Server) SendMessage(c echo.Context) error {
	var body contract.SendMessage
	if err := readJSON(c, &body); err != nil {
		return err
	}
	if err := checkText("message", body.Message); err != nil {
		return err
	}
	if body.ConversationId != "" && !id.Valid(id.Conversation, body.ConversationId) {
		return &store.NotFoundError{Resource: "conversation", ID: body.ConversationId}
	}
	if body.AgentId != "" && !id.Valid(id.Agent, body.AgentId) {
		return &store.NotFoundError{Resource: "agent", ID: body.AgentId}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	ch, err := s.store.SubmitTurn(ctx, store.Turn{
		Owner: owner(c), ConversationID: body.ConversationId, AgentID: body.AgentId, Message: body.Message,
		Builder: execution.Task{
			Runtime: s.config.DefaultRuntime, Instructions: conversation.BuilderInstructions, Schema: conversation.BuilderSchema,
		},
	})
	if err != nil {
		return err
	}
	return s.accepted(c, ch)
}

// ListConversations shows the caller's newest conversations.
func (s *Server) ListConversations(c echo.Context) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Conversations(ctx, owner(c), newest)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, contract.ConversationList{Conversations: views(found, viewConversation)})
}

// GetConversation shows a conversation with its messages.
func (s *Server) GetConversation(c echo.Context, conversationID contract.ID) error {
	if !id.Valid(id.Conversation, conversationID) {
		return &store.NotFoundError{Resource: "conversation", ID: conversationID}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Conversation(ctx, owner(c), conversationID)
	if err != nil {
		return err
	}
	messages, err := s.store.Messages(ctx, owner(c), conversationID, 0, shownMessages)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, contract.ConversationDetail{
		Conversation: viewConversation(found), Messages: views(messages, viewMessage), Pending: found.Pending,
	})
}
