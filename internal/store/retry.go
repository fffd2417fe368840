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
// NotFoundError: the tenant has no such execution, or no longer its
// conversation; execution.ErrNotEnded, ErrSucceeded; conversation.ErrTooManyPending. The key may be nil.
func (s *Store) Retry(ctx context.Context, ref execution.Ref, key *IdempotencyKey) (ch execution.Change, err error) {
	err = s.createOnce(ctx, ref.Tenant, key, func(tx *firestore.Transaction) (_ Created, now time.Time, err error) {
		ch, now, err = s.createRetry(tx, ref, func(e *execution.Execution) { e.Traceparent = trace.Traceparent(ctx) })
		return createdExecution(&ch.Execution), now, err
	})
	return ch, err
}

// repeat stores a repetition of an execution, with what sets it apart.
func (s *Store) createRetry(tx *firestore.Transaction, ref execution.Ref, customize func(*execution.Execution)) (ch execution.Change, now time.Time, err error) {
	var e execution.Execution
	if now, err = s.read(tx.Get, executions, ref.Tenant, ref.ID, &e); err != nil {
		return ch, now, err
	}
	retry, err := e.Retry(now)
	if err != nil {
		return ch, now, err
	}
	customize(&retry)
	if retry.ConversationID == "" {
		ch = execution.Change{Execution: retry, Notify: []execution.Ref{retry.Ref()}}
		return ch, now, errors.Join(s.copyInputFiles(tx, &e, retry.Ref()), tx.Create(s.collection(retry.Tenant, executions).Doc(retry.ID), &retry))
	}
	var c conversation.Conversation
	if _, err := s.read(tx.Get, conversations, ref.Tenant, retry.ConversationID, &c); err != nil {
		return ch, now, err
	}
	ch, err = s.acceptTurn(tx, &c, retry, now)
	return ch, now, err
}
