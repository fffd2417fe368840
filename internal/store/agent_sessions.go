package store

import (
	"context"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// AgentSession returns the agent's memory after the newest finished turn of a conversation; nil if that turn stored none.
func (s *Store) AgentSession(ctx context.Context, tenant, conversationID string) (*execution.AgentSession, error) {
	session := new(execution.AgentSession)
	_, err := read(withoutTransaction(ctx), s.agentSessionDoc(tenant, conversationID), session)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return session, nil
}

// storeAgentSession replaces the agent session of the previous turn. A failed turn deletes it: if the agent session caused the
// failure, every later turn would fail too. The next turn then starts from the messages.
func (s *Store) storeAgentSession(tx *firestore.Transaction, e *execution.Execution) error {
	doc := s.agentSessionDoc(e.Tenant, e.ConversationID)
	if e.NewSession == nil {
		return tx.Delete(doc)
	}
	return tx.Set(doc, e.NewSession)
}
