package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// DueExecutions returns executions of all tenants that are due at now, the longest due first. It serves the janitor,
// which knows the time from AcquireLeadership.
func (s *Store) DueExecutions(ctx context.Context, now time.Time, limit int) ([]execution.Ref, error) {
	return listRefs[execution.Ref](ctx, s.due(executions, now, limit))
}

// DueBatches returns batches of all tenants that are due, the longest due first. It serves batch dispatchers.
func (s *Store) DueBatches(ctx context.Context, limit int) ([]batch.Ref, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	return listRefs[batch.Ref](ctx, s.due(batches, now, limit))
}

// DueDelivery is what a webhook dispatcher needs of a delivery before it claims it.
type DueDelivery struct {
	webhook.Ref
	URL string `firestore:"url"`
}

// DueDeliveries returns deliveries of all tenants that are due, the longest due first. It serves webhook dispatchers.
func (s *Store) DueDeliveries(ctx context.Context, limit int) ([]DueDelivery, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	return list[DueDelivery](ctx, s.due(deliveries, now, limit).Select("tenant", "id", "url"))
}

func (s *Store) due(collectionGroup string, now time.Time, limit int) firestore.Query {
	return s.client.CollectionGroup(collectionGroup).Where("due", "<=", now).OrderBy("due", firestore.Asc).Limit(limit)
}
