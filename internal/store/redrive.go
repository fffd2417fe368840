package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// ErrRedriven means that the execution has been driven again before.
var ErrAlreadyRedriven = errors.New("the execution has been driven again before")

// FailedWith returns the executions of all tenants that ended with one of the
// codes within the last while, the oldest first. It is the operator's.
func (s *Store) FailedExecutions(ctx context.Context, failureCodes []execution.Code, within time.Duration) ([]execution.Ref, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	q := s.client.CollectionGroup(executions).Where("error.code", "in", failureCodes).
		Where("finishedAt", ">=", now.Add(-within)).OrderBy("finishedAt", firestore.Asc)
	return list[execution.Ref](ctx, q.Select("tenant", "id"))
}

// Redrive repeats an execution as Retry does, but once: the ID of the new one
// follows from that of the old one. ErrRedriven: it has been done before.
func (s *Store) Redrive(ctx context.Context, ref execution.Ref) (ch execution.Change, err error) {
	retryID := id.FromHash(id.Execution, sha256.Sum256([]byte("redrive "+ref.ID)))
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		ch, _, err = s.createRetry(tx, ref, func(e *execution.Execution) { e.ID = retryID })
		return err
	})
	if status.Code(err) == codes.AlreadyExists {
		return execution.Change{}, ErrAlreadyRedriven
	}
	return ch, err
}
