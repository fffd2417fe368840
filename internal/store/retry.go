package store

import (
	"context"
	"errors"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/conversation"
	"github.com/airlock-run/airlock/internal/execution"
)

// Retry stores a new execution that repeats one which ended without success;
// that of a conversation becomes its newest turn, with the same message.
// NotFoundError: the owner has no such execution, or no longer its
// conversation; execution.ErrNotEnded, ErrSucceeded; conversation.ErrTooManyPending.
func (s *Store) Retry(ctx context.Context, ref execution.Ref) (execution.Change, error) {
	var ch execution.Change
	err := s.transact(ctx, func(tx *firestore.Transaction) error {
		var e execution.Execution
		now, err := s.read(tx.Get, executions, ref.Owner, ref.ID, &e)
		if err != nil {
			return err
		}
		again, err := e.Again(now)
		if err != nil {
			return err
		}
		if again.ConversationID == "" {
			ch = execution.Change{Execution: again, Announce: []execution.Ref{again.Ref()}}
			return errors.Join(s.copyGiven(tx, &e, again.Ref()), tx.Create(s.collection(again.Owner, executions).Doc(again.ID), &again))
		}
		var c conversation.Conversation
		if _, err := s.read(tx.Get, conversations, ref.Owner, again.ConversationID, &c); err != nil {
			return err
		}
		ch, err = s.acceptTurn(tx, &c, again, now)
		return err
	})
	return ch, err
}
