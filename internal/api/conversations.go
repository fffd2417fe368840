package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/store"
)

// ConversationStore reads and deletes conversations; Submitter stores messages. Conversation and DeleteConversation
// return a *store.NotFoundError for a missing one. DeleteConversation returns what it has deleted; the content of its
// agent session is left.
// Conversations lists the one with the newest message first. Messages returns at most limit messages of the turns
// before beforeTurn, in order; it drops the oldest ones.
type ConversationStore interface {
	Conversation(ctx context.Context, tenant, conversationID string) (conversation.Conversation, error)
	DeleteConversation(ctx context.Context, tenant, conversationID string) (conversation.Conversation, error)
	Conversations(ctx context.Context, tenant string, p store.Page) ([]conversation.Conversation, error)
	Messages(ctx context.Context, tenant, conversationID string, beforeTurn, limit int) ([]conversation.Message, error)
}

// SendMessage accepts a turn of a conversation.
func (s *Server) SendMessage(c echo.Context, _ contract.SendMessageParams) error {
	var body contract.SendMessage
	if err := readJSON(c, &body); err != nil {
		return err
	}
	if err := s.checkPrompt("message", body.Message); err != nil {
		return err
	}
	if body.ConversationId != "" {
		if err := checkID(id.Conversation, body.ConversationId); err != nil {
			return err
		}
	}
	if body.AgentId != "" {
		if err := checkID(id.Agent, body.AgentId); err != nil {
			return err
		}
	}
	if err := checkEnvironmentID(body.EnvironmentId); err != nil {
		return err
	}
	inputFiles, err := parseInputFiles(body.Files)
	if err != nil {
		return err
	}
	key := idempotencyKey(c)
	ctx, cancel := storeContext(c)
	defer cancel()
	ch, err := s.submitter.SubmitTurn(ctx, store.TurnRequest{
		Tenant: tenantID(c), ConversationID: body.ConversationId, AgentID: body.AgentId, AgentVersion: body.AgentVersion,
		EnvironmentID: body.EnvironmentId, Message: body.Message, InputFiles: inputFiles,
		QueueTimeout: s.config.QueueTimeout,
		Builder: execution.Task{
			Runtime: s.config.DefaultRuntime, Instructions: conversation.BuilderInstructions, Schema: conversation.BuilderSchema,
		},
		Converses: s.converses, IdempotencyKey: key,
	})
	if err != nil {
		return explainMissing(err, inputFiles)
	}
	return s.respondAccepted(c, ch)
}

// ListConversations returns a page of the tenant's conversations.
func (s *Server) ListConversations(c echo.Context, params contract.ListConversationsParams) error {
	conversations, next, err := readPage(c, pageParams{params.Limit, params.Cursor}, s.stores.Conversations.Conversations,
		func(c conversation.Conversation) cursorPosition { return timePosition(c.UpdatedAt, c.ID) })
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.ConversationList{Conversations: viewAll(conversations, viewConversation), NextCursor: next})
}

// GetConversation returns a conversation with a page of its turns.
func (s *Server) GetConversation(c echo.Context, conversationID contract.ID, params contract.GetConversationParams) error {
	page, err := parsePageRequest(c, pageParams{params.Limit, params.Cursor})
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.readConversation(ctx, c, conversationID)
	if err != nil {
		return err
	}
	before := found.Turns + 1
	if page.after != nil {
		before = int(page.after.sortKey)
	}
	messages, err := s.stores.Conversations.Messages(ctx, found.Tenant, conversationID, before, 2*page.limit)
	if err != nil {
		return err
	}
	// Turns are numbered without a gap. Each has a question and at most one reply.
	first := before - page.limit
	next := ""
	if first > 1 {
		next = page.encodeCursor(cursorPosition{sortKey: int64(first)})
		messages = slices.DeleteFunc(messages, func(m conversation.Message) bool { return m.Turn < first })
	}
	return respondWithETag(c, contract.ConversationDetail{
		Conversation: viewConversation(found), Messages: viewAll(messages, viewMessage), Pending: found.Pending, NextCursor: next,
	})
}

// CancelConversation cancels all turns that have not finished.
func (s *Server) CancelConversation(c echo.Context, conversationID contract.ID) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.readConversation(ctx, c, conversationID)
	if err != nil {
		return err
	}
	if err := s.cancelTurns(ctx, c, found.Pending); err != nil {
		return err
	}
	if found, err = s.readConversation(ctx, c, conversationID); err != nil {
		return err
	}
	return respondJSON(c, http.StatusAccepted, contract.CanceledConversation{
		Conversation: viewConversation(found), Pending: found.Pending,
	})
}

// DeleteConversation cancels the turns that have not finished and deletes the conversation. Its executions stay.
func (s *Server) DeleteConversation(c echo.Context, conversationID contract.ID) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.readConversation(ctx, c, conversationID)
	if err != nil {
		return err
	}
	if err := s.cancelTurns(ctx, c, found.Pending); err != nil {
		return err
	}
	deleted, err := s.stores.Conversations.DeleteConversation(ctx, found.Tenant, conversationID)
	if err != nil {
		return err
	}
	s.deleteSession(ctx, c, &deleted)
	if holder := deleted.HolderAt(time.Now()); holder != "" {
		s.sendSignals(ctx, "the agent that waits for its next turn is given up later", signal.Signal{
			To: holder, Kind: signal.KindTurn, Tenant: deleted.Tenant, Change: &signal.Change{ConversationID: deleted.ID},
		})
	}
	if err := s.cancelTurns(ctx, c, deleted.Pending); err != nil { // turns that were accepted in between
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// deleteSession deletes the agent session of a deleted conversation. If that fails, the janitor deletes it together
// with the execution that left it.
func (s *Server) deleteSession(ctx context.Context, c echo.Context, deleted *conversation.Conversation) {
	if deleted.Session == nil {
		return
	}
	if err := s.config.Artifacts.DeleteContent(ctx, blob.SessionKey(deleted.Tenant, deleted.Session)); err != nil {
		s.log.Warn("could not delete the agent session of a conversation", zap.String("request", requestID(c)), zap.Error(err))
	}
}

// cancelTurns cancels executions of a conversation, the last turn first. In the other order the end of each turn would
// start the next one.
func (s *Server) cancelTurns(ctx context.Context, c echo.Context, pending []string) error {
	for _, executionID := range slices.Backward(pending) {
		ch, err := s.stores.Executions.Apply(ctx, execution.Ref{Tenant: tenantID(c), ID: executionID}, execution.CancelRequested{})
		switch {
		case err == nil:
			s.publish(c, ch)
		case !errors.Is(err, execution.ErrTerminal):
			return err
		}
	}
	return nil
}

func (s *Server) readConversation(ctx context.Context, c echo.Context, conversationID string) (conversation.Conversation, error) {
	if err := checkID(id.Conversation, conversationID); err != nil {
		return conversation.Conversation{}, err
	}
	return s.stores.Conversations.Conversation(ctx, tenantID(c), conversationID)
}
