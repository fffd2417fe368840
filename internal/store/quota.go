package store

import (
	"context"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The methods of this file serve package quota.

// CountQueued counts the tenant's queued executions outside of batches, but not further than limit. The dispatcher
// limits those of batches.
func (s *Store) CountQueued(ctx context.Context, tenant string, limit int) (int, error) {
	return count(ctx, s.collection(tenant, executions).
		Where("lane", "==", execution.LaneInteractive).Where("status", "==", execution.Queued).Limit(limit))
}

// CountUnfinished counts the tenant's queued and running executions outside of batches, but not further than limit.
func (s *Store) CountUnfinished(ctx context.Context, tenant string, limit int) (int, error) {
	return count(ctx, s.collection(tenant, executions).Where("lane", "==", execution.LaneInteractive).
		Where("status", "in", []execution.Status{execution.Queued, execution.Running}).Limit(limit))
}
