package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"
)

// SendMessage sends a message. It starts a new conversation if m has no ConversationId.
func (c *Client) SendMessage(ctx context.Context, m SendMessage) (AcceptedExecution, error) {
	return doJSON[AcceptedExecution](ctx, c, request{method: http.MethodPost, path: "/api/conversation", body: m, idempotencyKey: true})
}

// Conversations returns all conversations, the one with the newest message first.
func (c *Client) Conversations(ctx context.Context) iter.Seq2[Conversation, error] {
	return paginate(ctx, c, "/api/conversations", nil, func(l ConversationList) ([]Conversation, NextCursor) { return l.Conversations, l.NextCursor })
}

// Conversation returns a conversation with its newest messages, in order.
func (c *Client) Conversation(ctx context.Context, conversationID string) (ConversationDetail, error) {
	return doJSON[ConversationDetail](ctx, c, request{method: http.MethodGet, path: conversationPath(conversationID)})
}

// Messages returns all messages of a conversation, the newest first.
func (c *Client) Messages(ctx context.Context, conversationID string) iter.Seq2[Message, error] {
	return paginate(ctx, c, conversationPath(conversationID), nil, func(d ConversationDetail) ([]Message, NextCursor) {
		slices.Reverse(d.Messages)
		return d.Messages, d.NextCursor
	})
}

// DeleteConversation deletes a conversation and cancels its turns that have not ended.
func (c *Client) DeleteConversation(ctx context.Context, conversationID string) error {
	_, err := doJSON[noContent](ctx, c, request{method: http.MethodDelete, path: conversationPath(conversationID)})
	return err
}

func conversationPath(conversationID string) string {
	return "/api/conversation/" + url.PathEscape(conversationID)
}
