package store

import (
	"context"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Transcript returns the agent's memory after the newest finished turn of a conversation; nil if that turn stored none.
func (s *Store) Transcript(ctx context.Context, tenant, conversationID string) (*execution.Transcript, error) {
	transcript := new(execution.Transcript)
	_, err := read(withoutTransaction(ctx), s.transcriptDoc(tenant, conversationID), transcript)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return transcript, nil
}

// storeTranscript replaces the transcript of the previous turn. A failed turn deletes it: if the transcript caused the
// failure, every later turn would fail too. The next turn then starts from the messages.
func (s *Store) storeTranscript(tx *firestore.Transaction, e *execution.Execution) error {
	doc := s.transcriptDoc(e.Tenant, e.ConversationID)
	if e.NewTranscript == nil {
		return tx.Delete(doc)
	}
	return tx.Set(doc, e.NewTranscript)
}
