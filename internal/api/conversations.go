package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// SendMessage accepts one turn of a conversation.
func (s *Server) SendMessage(c echo.Context, _ contract.SendMessageParams) error {
	var body contract.SendMessage
	if err := readJSON(c, &body); err != nil {
		return err
	}
	if err := s.checkPrompt("message", body.Message); err != nil {
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
	ch, err := s.store.SubmitTurn(ctx, store.TurnRequest{
		Tenant: tenantID(c), ConversationID: body.ConversationId, AgentID: body.AgentId, Message: body.Message, QueueTimeout: s.config.QueueTimeout,
		Builder: execution.Task{
			Runtime: s.config.DefaultRuntime, Instructions: conversation.BuilderInstructions, Schema: conversation.BuilderSchema,
		},
	})
	if err != nil {
		return err
	}
	return s.respondAccepted(c, ch)
}

// ListConversations shows a page of the caller's conversations.
func (s *Server) ListConversations(c echo.Context, params contract.ListConversationsParams) error {
	l, err := parsePageRequest(c, params.Limit, params.Cursor)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Conversations(ctx, tenantID(c), l.storePage())
	if err != nil {
		return err
	}
	shown, next := trimPage(&l, found, func(c conversation.Conversation) cursorPosition { return positionOf(c.UpdatedAt, c.ID) })
	return respondJSON(c, http.StatusOK, contract.ConversationList{Conversations: viewAll(shown, viewConversation), NextCursor: next})
}

// GetConversation shows a conversation with a page of its turns.
func (s *Server) GetConversation(c echo.Context, conversationID contract.ID, params contract.GetConversationParams) error {
	if !id.Valid(id.Conversation, conversationID) {
		return &store.NotFoundError{Resource: "conversation", ID: conversationID}
	}
	l, err := parsePageRequest(c, params.Limit, params.Cursor)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Conversation(ctx, tenantID(c), conversationID)
	if err != nil {
		return err
	}
	before := found.Turns + 1
	if l.after != nil {
		before = int(l.after.sortKey)
	}
	messages, err := s.store.Messages(ctx, tenantID(c), conversationID, before, 2*l.limit)
	if err != nil {
		return err
	}
	// Turns are counted without a gap, and one has its question and at most one reply.
	first := before - l.limit
	next := ""
	if first > 1 {
		next = l.encodeCursor(cursorPosition{sortKey: int64(first)})
		messages = slices.DeleteFunc(messages, func(m conversation.Message) bool { return m.Turn < first })
	}
	return respondWithETag(c, contract.ConversationDetail{
		Conversation: viewConversation(found), Messages: viewAll(messages, viewMessage), Pending: found.Pending, NextCursor: next,
	})
}

// DeleteConversation cancels what has not ended of a conversation and deletes the rest.
func (s *Server) DeleteConversation(c echo.Context, conversationID contract.ID) error {
	if !id.Valid(id.Conversation, conversationID) {
		return &store.NotFoundError{Resource: "conversation", ID: conversationID}
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Conversation(ctx, tenantID(c), conversationID)
	if err != nil {
		return err
	}
	if err := s.cancelTurns(ctx, c, found.Pending); err != nil {
		return err
	}
	remaining, err := s.store.DeleteConversation(ctx, tenantID(c), conversationID)
	if err != nil {
		return err
	}
	if err := s.cancelTurns(ctx, c, remaining); err != nil { // those that came in between
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// cancelTurns cancels the last turn first, so that none begins in between.
func (s *Server) cancelTurns(ctx context.Context, c echo.Context, pending []string) error {
	for _, executionID := range slices.Backward(pending) {
		ch, err := s.store.Apply(ctx, execution.Ref{Tenant: tenantID(c), ID: executionID}, execution.CancelRequested{})
		switch {
		case err == nil:
			s.publish(c, ch)
		case !errors.Is(err, execution.ErrTerminal):
			return err
		}
	}
	return nil
}
