package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// CountWaiting counts the owner's queued executions outside batches, of which
// only the windows wait at once; above most it stops counting.
func (s *Store) CountWaiting(ctx context.Context, owner string, most int) (int, error) {
	return count(ctx, s.collection(owner, executions).
		Where("lane", "==", execution.Interactive).Where("status", "==", execution.Queued).Limit(most))
}

// CountRunning counts the owner's running executions; above most it stops counting.
func (s *Store) CountRunning(ctx context.Context, owner string, most int) (int, error) {
	return count(ctx, s.collection(owner, executions).Where("status", "==", execution.Running).Limit(most))
}

// SpentToday sums in US dollars what the owner's executions cost that have
// ended today, in UTC by Firestore's clock, and returns how long today goes on.
func (s *Store) SpentToday(ctx context.Context, owner string) (usd float64, rest time.Duration, err error) {
	now, err := s.Now(ctx)
	if err != nil {
		return 0, 0, err
	}
	const day = 24 * time.Hour
	today := now.UTC().Truncate(day)
	usd, err = sum(ctx, s.collection(owner, executions).Where("finishedAt", ">=", today), "usage.costUsd")
	return usd, today.Add(day).Sub(now), err
}

// OldestHeld returns the executions of the owner that a limit has held longest, the oldest first.
func (s *Store) OldestHeld(ctx context.Context, owner string, limit int) ([]execution.Ref, error) {
	q := s.collection(owner, executions).Where("held", "==", true).OrderBy("createdAt", firestore.Asc).Limit(limit)
	return list[execution.Ref](ctx, q.Select("owner", "id"))
}

func count(ctx context.Context, q firestore.Query) (int, error) {
	counted, err := q.NewAggregationQuery().WithCount("n").Get(ctx)
	if err != nil {
		return 0, translate(err)
	}
	return int(counted["n"].(*firestorepb.Value).GetIntegerValue()), nil
}

func sum(ctx context.Context, q firestore.Query, field string) (float64, error) {
	summed, err := q.NewAggregationQuery().WithSum(field, "sum").Get(ctx)
	if err != nil {
		return 0, translate(err)
	}
	v := summed["sum"].(*firestorepb.Value) // an integer where all are, as with none
	return v.GetDoubleValue() + float64(v.GetIntegerValue()), nil
}
