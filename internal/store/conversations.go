package store

import (
	"context"
	"errors"
	"slices"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/conversation"
)

// Conversation returns the tenant's conversation, or a NotFoundError.
func (s *Store) Conversation(ctx context.Context, tenant, conversationID string) (conversation.Conversation, error) {
	var c conversation.Conversation
	_, err := read(withoutTransaction(ctx), s.conversationDoc(tenant, conversationID), &c)
	return c, err
}

// Conversations returns a page of the tenant's conversations, the one with the newest message first. A conversation
// that gets a message between two pages moves to the first one.
func (s *Store) Conversations(ctx context.Context, tenant string, p Page) ([]conversation.Conversation, error) {
	return list[conversation.Conversation](ctx, p.apply(s.collection(tenant, conversations).Query, "updatedAt"))
}

// Messages returns the newest messages before a turn (0: of all turns), the oldest first.
func (s *Store) Messages(ctx context.Context, tenant, conversationID string, beforeTurn, limit int) ([]conversation.Message, error) {
	q := s.messages(tenant, conversationID).Query
	if beforeTurn > 0 {
		q = q.Where("turn", "<", beforeTurn)
	}
	found, err := list[conversation.Message](ctx, q.OrderBy("turn", firestore.Desc).OrderBy("role", firestore.Asc).Limit(limit))
	slices.Reverse(found)
	return found, err
}

// DeleteConversation deletes a conversation with its messages in one transaction, so it is never deleted in part. It
// returns what it has deleted. The executions of its unfinished turns may still run, in any order, and have no reply.
// The content of its agent session is left to the caller. The error is a NotFoundError if the tenant does not have the
// conversation.
func (s *Store) DeleteConversation(ctx context.Context, tenant, conversationID string) (conversation.Conversation, error) {
	return s.deleteConversationIf(ctx, tenant, conversationID, func(*conversation.Conversation) bool { return true })
}

// errConditionFalse means that the condition of deleteConversationIf is false.
var errConditionFalse = errors.New("the conversation must not be deleted")

func (s *Store) deleteConversationIf(
	ctx context.Context, tenant, conversationID string, condition func(*conversation.Conversation) bool,
) (deleted conversation.Conversation, err error) {
	doc := s.conversationDoc(tenant, conversationID)
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		var c conversation.Conversation
		if _, err := read(tx.Get, doc, &c); err != nil {
			return err
		}
		if !condition(&c) {
			return errConditionFalse
		}
		deleted = c
		found, err := tx.Documents(s.messages(tenant, conversationID).Select()).GetAll()
		if err != nil {
			return err
		}
		for _, message := range found {
			if err := tx.Delete(message.Ref); err != nil {
				return err
			}
		}
		return tx.Delete(doc)
	})
	if errors.Is(err, ErrOutcomeUnknown) {
		if found, readErr := exists(ctx, doc); readErr == nil && !found {
			return deleted, nil
		}
	}
	return deleted, err
}
