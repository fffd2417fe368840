package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// The methods of this file return what is due of all tenants, the longest due first, in pages of at most limit.

// DueExecutions returns executions that are due at now. It serves the janitor, which knows the time from NextDue.
func (s *Store) DueExecutions(ctx context.Context, now time.Time, scan *Scan, limit int) ([]execution.Ref, error) {
	snaps, err := scan.page(ctx, s.executionsByDue().Where("due", "<=", now).Select("due"), limit)
	return refsOf[execution.Ref](snaps), err
}

// NextDue returns when the first execution is due, and Firestore's time. due is zero if there is none, and then the
// time is zero as well.
func (s *Store) NextDue(ctx context.Context) (due, now time.Time, err error) {
	return nextDue(ctx, s.executionsByDue())
}

// executionsByDue are the executions that are not terminal. The index has a range of due times for each shard, so that
// no range takes the writes of all executions.
func (s *Store) executionsByDue() firestore.Query {
	return s.client.CollectionGroup(executions).Where("shard", "in", allShards).OrderBy("due", firestore.Asc)
}

var allShards = func() (shards []int) {
	for shard := range execution.Shards {
		shards = append(shards, shard)
	}
	return shards
}()

func nextDue(ctx context.Context, byDue firestore.Query) (due, now time.Time, err error) {
	snaps, err := byDue.Select("due").Limit(1).Documents(ctx).GetAll()
	if err != nil || len(snaps) == 0 {
		return due, now, translateError(err)
	}
	due, _ = snaps[0].Data()["due"].(time.Time) // another type is sorted elsewhere, and not due
	return due, snaps[0].ReadTime, nil
}

// ExecutionsOfSession returns a page of the executions that run under a session, in no order. It serves the leader,
// after the session has expired.
func (s *Store) ExecutionsOfSession(ctx context.Context, session string, scan *Scan, limit int) ([]execution.Ref, error) {
	q := s.client.CollectionGroup(executions).Where("lease.session", "==", session)
	snaps, err := scan.page(ctx, q.Select(), limit)
	return refsOf[execution.Ref](snaps), err
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
