package store

import (
	"context"
	"errors"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/conversation"
)

// DeleteConversation deletes a conversation with its messages and its session,
// all in one transaction, so that nothing of it is ever left. It returns the
// executions of the turns that had not ended; they lose their place in the
// order and their reply, not their end. NotFoundError: the tenant has no such
// conversation.
func (s *Store) DeleteConversation(ctx context.Context, tenant, id string) (pending []string, err error) {
	return s.deleteConversation(ctx, tenant, id, func(*conversation.Conversation) bool { return true })
}

// errKept means that a conversation is not as it has to be to be deleted.
var errNotDeletable = errors.New("the conversation is kept")

func (s *Store) deleteConversation(ctx context.Context, tenant, id string, canDelete func(*conversation.Conversation) bool) (pending []string, err error) {
	doc := s.collection(tenant, conversations).Doc(id)
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		var c conversation.Conversation
		if _, err := s.read(tx.Get, conversations, tenant, id, &c); err != nil {
			return err
		}
		if !canDelete(&c) {
			return errNotDeletable
		}
		pending = c.Pending
		docs, err := tx.Documents(doc.Collection(messages).Select()).GetAll()
		if err != nil {
			return err
		}
		for _, message := range docs {
			if err := tx.Delete(message.Ref); err != nil {
				return err
			}
		}
		if err := tx.Delete(s.sessionDoc(tenant, id)); err != nil {
			return err
		}
		return tx.Delete(doc)
	})
	return pending, err
}
