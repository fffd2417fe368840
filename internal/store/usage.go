package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// CountWaiting counts the tenant's queued executions outside batches, of which
// only the windows wait at once; above most it stops counting.
func (s *Store) CountQueued(ctx context.Context, tenant string, limit int) (int, error) {
	return count(ctx, s.collection(tenant, executions).
		Where("lane", "==", execution.LaneInteractive).Where("status", "==", execution.Queued).Limit(limit))
}

// CountRunning counts the tenant's running executions; above most it stops counting.
func (s *Store) CountRunning(ctx context.Context, tenant string, limit int) (int, error) {
	return count(ctx, s.collection(tenant, executions).Where("status", "==", execution.Running).Limit(limit))
}

// SpentToday sums in US dollars what the tenant's executions cost that have
// ended today, in UTC by Firestore's clock, and returns how long today goes on.
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

// OldestHeld returns the executions of the tenant that a limit has held longest, the oldest first.
func (s *Store) OldestThrottled(ctx context.Context, tenant string, limit int) ([]execution.Ref, error) {
	q := s.collection(tenant, executions).Where("throttled", "==", true).OrderBy("createdAt", firestore.Asc).Limit(limit)
	return list[execution.Ref](ctx, q.Select("tenant", "id"))
}

func count(ctx context.Context, q firestore.Query) (int, error) {
	counted, err := q.NewAggregationQuery().WithCount("n").Get(ctx)
	if err != nil {
		return 0, translateError(err)
	}
	return int(counted["n"].(*firestorepb.Value).GetIntegerValue()), nil
}

func sum(ctx context.Context, q firestore.Query, field string) (float64, error) {
	summed, err := q.NewAggregationQuery().WithSum(field, "sum").Get(ctx)
	if err != nil {
		return 0, translateError(err)
	}
	v := summed["sum"].(*firestorepb.Value) // an integer where all are, as with none
	return v.GetDoubleValue() + float64(v.GetIntegerValue()), nil
}
