package store

import (
	"context"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Session returns what the newest turn of a conversation that has ended left
// for the next one; nil when it left nothing.
func (s *Store) Session(ctx context.Context, tenant, conversationID string) (*execution.Session, error) {
	snap, err := s.sessionDoc(tenant, conversationID).Get(ctx)
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, translateError(err)
	}
	session := new(execution.Session)
	return session, snap.DataTo(session)
}

// keepSession replaces what the turn before left. A turn that did not succeed
// leaves nothing: were it the session that made it fail, every later turn would
// fail as well. The next one goes on from the messages then.
func (s *Store) storeSession(tx *firestore.Transaction, e *execution.Execution) error {
	ref := s.sessionDoc(e.Tenant, e.ConversationID)
	if e.NewSession == nil {
		return tx.Delete(ref)
	}
	return tx.Set(ref, e.NewSession)
}

// session is one document, apart from the conversation's, which lists read.
func (s *Store) sessionDoc(tenant, conversationID string) *firestore.DocumentRef {
	return s.collection(tenant, conversations).Doc(conversationID).Collection(sessions).Doc("newest")
}
