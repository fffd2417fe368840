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
func (s *Store) Session(ctx context.Context, owner, conversationID string) (*execution.Session, error) {
	snap, err := s.session(owner, conversationID).Get(ctx)
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, translate(err)
	}
	left := new(execution.Session)
	return left, snap.DataTo(left)
}

// keepSession replaces what the turn before left. A turn that did not succeed
// leaves nothing: were it the session that made it fail, every later turn would
// fail as well. The next one goes on from the messages then.
func (s *Store) keepSession(tx *firestore.Transaction, e *execution.Execution) error {
	ref := s.session(e.Owner, e.ConversationID)
	if e.Left == nil {
		return tx.Delete(ref)
	}
	return tx.Set(ref, e.Left)
}

// session is one document, apart from the conversation's, which lists read.
func (s *Store) session(owner, conversationID string) *firestore.DocumentRef {
	return s.collection(owner, conversations).Doc(conversationID).Collection(sessions).Doc("newest")
}
