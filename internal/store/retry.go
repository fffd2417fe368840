package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// Retry stores a new execution that repeats an unsuccessful one. A retry of a turn becomes the newest turn of its
// conversation, with the same message. The error is a NotFoundError if the tenant does not have the execution or its
// conversation; else execution.ErrNotFinished, execution.ErrSucceeded or conversation.ErrTooManyPending. The key may be
// nil, and so may place: then the caller publishes the new execution.
func (s *Store) Retry(ctx context.Context, ref execution.Ref, key *IdempotencyKey, place Placer) (ch execution.Change, err error) {
	retry := execution.Ref{Tenant: ref.Tenant, ID: id.New(id.Execution)}
	err = s.createOnce(ctx, s.executionDoc(retry), key, func(tx *firestore.Transaction) (_ Created, now time.Time, err error) {
		ch, now, err = s.createRetry(tx, ref, place, func(e *execution.Execution) { e.ID, e.Traceparent = retry.ID, trace.Traceparent(ctx) })
		return createdExecution(&ch.Execution), now, err
	})
	if err == nil {
		s.deliverCreated(&ch.Execution)
	}
	return ch, err
}

// ErrAlreadyRedriven means that a redrive of the execution exists.
var ErrAlreadyRedriven = errors.New("the execution is already redriven")

// Redrive retries an execution at most once: the ID of the execution determines that of the retry. The second time the
// error is ErrAlreadyRedriven. place may be nil: then the caller publishes the new execution.
func (s *Store) Redrive(ctx context.Context, ref execution.Ref, place Placer) (ch execution.Change, err error) {
	retryID := id.FromHash(id.Execution, sha256.Sum256([]byte("redrive "+ref.ID)))
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		ch, _, err = s.createRetry(tx, ref, place, func(e *execution.Execution) { e.ID = retryID })
		return err
	})
	if status.Code(err) == codes.AlreadyExists {
		return execution.Change{}, ErrAlreadyRedriven
	}
	return ch, err
}

// FailedExecutions returns the executions of all tenants that failed with one of failureCodes within the last while,
// the oldest first. It serves the operator's redrive.
func (s *Store) FailedExecutions(ctx context.Context, failureCodes []execution.Code, within time.Duration) ([]execution.Ref, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	q := s.client.CollectionGroup(executions).Where("error.code", "in", failureCodes).
		Where("finishedAt", ">=", now.Add(-within)).OrderBy("finishedAt", firestore.Asc)
	return listRefs[execution.Ref](ctx, q)
}

// createRetry stores a retry after customize has changed it.
func (s *Store) createRetry(
	tx *firestore.Transaction, ref execution.Ref, place Placer, customize func(*execution.Execution),
) (ch execution.Change, now time.Time, err error) {
	var e execution.Execution
	t, err := s.readWithTenant(tx.GetAll, ref.Tenant, s.executionDoc(ref), &e)
	now = t.Now
	if err != nil {
		return ch, now, err
	}
	retry, err := e.Retry(now)
	if err != nil {
		return ch, now, err
	}
	customize(&retry)
	inputFiles, err := s.inputFilesForRetry(tx, &e)
	if err != nil {
		return ch, now, err
	}
	if retry.ConversationID != "" {
		var c conversation.Conversation
		if _, err := read(tx.Get, s.conversationDoc(ref.Tenant, retry.ConversationID), &c); err != nil {
			return ch, now, err
		}
		ch, err = s.acceptTurn(tx, &c, retry, inputFiles, &t.Tenant, place, now)
		return ch, now, err
	}
	if err := place.place(&t.Tenant, &retry); err != nil {
		return ch, now, err
	}
	ch = execution.Change{Execution: retry, Notify: notificationOf(&retry)}
	return ch, now, errors.Join(
		s.storeInputFiles(tx, retry.Ref(), inputFiles),
		tx.Create(s.executionDoc(retry.Ref()), &retry),
		s.signalCreated(tx, &retry),
	)
}
