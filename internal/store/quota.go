package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The methods of this file serve package quota.

// CountQueued counts the tenant's queued executions outside of batches, but not further than limit. Windows limit those
// of batches.
func (s *Store) CountQueued(ctx context.Context, tenant string, limit int) (int, error) {
	return count(ctx, s.collection(tenant, executions).
		Where("lane", "==", execution.LaneInteractive).Where("status", "==", execution.Queued).Limit(limit))
}

// CountRunning counts the tenant's running executions, but not further than limit.
func (s *Store) CountRunning(ctx context.Context, tenant string, limit int) (int, error) {
	return count(ctx, s.collection(tenant, executions).Where("status", "==", execution.Running).Limit(limit))
}

// CostToday returns the cost in US dollars of the tenant's executions that finished today, and the time until the day
// ends. Days are UTC, by Firestore's clock.
func (s *Store) CostToday(ctx context.Context, tenant string) (usd float64, untilMidnight time.Duration, err error) {
	now, err := s.Now(ctx)
	if err != nil {
		return 0, 0, err
	}
	const day = 24 * time.Hour
	today := now.UTC().Truncate(day)
	usd, err = sum(ctx, s.collection(tenant, executions).Where("finishedAt", ">=", today), "usage.costUsd")
	return usd, today.Add(day).Sub(now), err
}

// OldestThrottled returns a page of the tenant's throttled executions, the oldest first.
func (s *Store) OldestThrottled(ctx context.Context, tenant string, scan *Scan, limit int) ([]execution.Ref, error) {
	q := s.collection(tenant, executions).Where("throttled", "==", true).OrderBy("createdAt", firestore.Asc)
	snaps, err := scan.page(ctx, q.Select("createdAt"), limit)
	return refsOf[execution.Ref](snaps), err
}
