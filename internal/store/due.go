package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// The methods of this file return what is due of all tenants, the longest due first, in pages of at most limit.

// DueExecutions returns executions that are due at now. It serves the janitor, which knows the time from
// AcquireLeadership.
func (s *Store) DueExecutions(ctx context.Context, now time.Time, scan *Scan, limit int) ([]execution.Ref, error) {
	snaps, err := scan.page(ctx, s.due(executions, now).Select("due"), limit)
	return refsOf[execution.Ref](snaps), err
}

// DueBatches returns batches that are due. It serves batch dispatchers.
func (s *Store) DueBatches(ctx context.Context, scan *Scan, limit int) ([]batch.Ref, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	snaps, err := scan.page(ctx, s.due(batches, now).Select("due"), limit)
	return refsOf[batch.Ref](snaps), err
}

// DueDelivery is what a webhook dispatcher needs of a delivery before it claims it.
type DueDelivery struct {
	webhook.Ref
	URL string // empty if it cannot be decoded
}

// DueDeliveries returns deliveries that are due. It serves webhook dispatchers.
func (s *Store) DueDeliveries(ctx context.Context, scan *Scan, limit int) ([]DueDelivery, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	snaps, err := scan.page(ctx, s.due(deliveries, now).Select("due", "url"), limit)
	due := make([]DueDelivery, len(snaps))
	for i, snap := range snaps {
		url, _ := snap.Data()["url"].(string)
		due[i] = DueDelivery{Ref: refOf[webhook.Ref](snap.Ref), URL: url}
	}
	return due, err
}

func (s *Store) due(collectionGroup string, now time.Time) firestore.Query {
	return s.client.CollectionGroup(collectionGroup).Where("due", "<=", now).OrderBy("due", firestore.Asc)
}
