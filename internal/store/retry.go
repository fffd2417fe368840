package store

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// Retry stores a new execution that repeats one which ended without success;
// that of a conversation becomes its newest turn, with the same message.
// NotFoundError: the owner has no such execution, or no longer its
// conversation; execution.ErrNotEnded, ErrSucceeded; conversation.ErrTooManyPending.
func (s *Store) Retry(ctx context.Context, ref execution.Ref) (execution.Change, error) {
	return create(ctx, s, func(tx *firestore.Transaction) (execution.Change, time.Time, error) {
		return s.repeat(tx, ref, func(e *execution.Execution) { e.Traceparent = trace.Parent(ctx) })
	})
}

// repeat stores a repetition of an execution, with what sets it apart.
func (s *Store) repeat(tx *firestore.Transaction, ref execution.Ref, apart func(*execution.Execution)) (ch execution.Change, now time.Time, err error) {
	var e execution.Execution
	if now, err = s.read(tx.Get, executions, ref.Owner, ref.ID, &e); err != nil {
		return ch, now, err
	}
	again, err := e.Again(now)
	if err != nil {
		return ch, now, err
	}
	apart(&again)
	if again.ConversationID == "" {
		ch = execution.Change{Execution: again, Announce: []execution.Ref{again.Ref()}}
		return ch, now, errors.Join(s.copyGiven(tx, &e, again.Ref()), tx.Create(s.collection(again.Owner, executions).Doc(again.ID), &again))
	}
	var c conversation.Conversation
	if _, err := s.read(tx.Get, conversations, ref.Owner, again.ConversationID, &c); err != nil {
		return ch, now, err
	}
	ch, err = s.acceptTurn(tx, &c, again, now)
	return ch, now, err
}
