package api

import (
	"context"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/store"
)

// Submitter stores new work within the limits of the tenant. A submission is durable when it returns nil. Its methods
// may be called concurrently. A submission may return a *quota.QueueFullError or a *quota.DailyBudgetExceededError;
// with an idempotency key that was used before, a *store.DuplicateRequestError. AdmitFile may return a
// *quota.FileStorageFullError.
type Submitter interface {
	SubmitRun(ctx context.Context, r store.RunRequest) (execution.Change, error)
	SubmitTurn(ctx context.Context, t store.TurnRequest) (execution.Change, error)
	Retry(ctx context.Context, ref execution.Ref, key *store.IdempotencyKey) (execution.Change, error)
	SubmitBatch(ctx context.Context, b *batch.Batch, key *store.IdempotencyKey) error
	AdmitFile(ctx context.Context, tenant string, size int64) error
	// Wake tells the dispatcher of a tenant, soon, that something has changed in a lane.
	Wake(tenant string, lane execution.Lane)
}

// respondAccepted publishes an execution that is durable from now on, and answers its request.
func (s *Server) respondAccepted(c echo.Context, ch execution.Change) error {
	s.publish(c, ch)
	return s.respondCreated(c, store.Created{
		Execution: &store.CreatedExecution{ID: ch.Execution.ID, ConversationID: ch.Execution.ConversationID},
	})
}

// publish publishes the notifications of a change. The change is durable already, so a failure is only logged: the
// janitor publishes again.
func (s *Server) publish(c echo.Context, ch execution.Change) {
	failpoint.Hit(failpoint.Accepted)
	if err := s.queue.Publish(c.Request().Context(), ch); err != nil {
		s.log.Warn("could not publish the notification; the janitor will publish it",
			zap.String("execution", ch.Execution.ID), zap.String("tenant", ch.Execution.Tenant), zap.Error(err))
	}
}
