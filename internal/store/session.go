package store

import (
	"context"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Session returns the agent's memory after the newest finished turn of a conversation; nil if that turn stored none.
func (s *Store) Session(ctx context.Context, tenant, conversationID string) (*execution.Session, error) {
	session := new(execution.Session)
	_, err := read(withoutTransaction(ctx), s.sessionDoc(tenant, conversationID), session)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return session, nil
}

// storeSession replaces the session of the previous turn. A failed turn deletes it: if the session caused the failure,
// every later turn would fail too. The next turn then starts from the messages.
func (s *Store) storeSession(tx *firestore.Transaction, e *execution.Execution) error {
	doc := s.sessionDoc(e.Tenant, e.ConversationID)
	if e.NewSession == nil {
		return tx.Delete(doc)
	}
	return tx.Set(doc, e.NewSession)
}
