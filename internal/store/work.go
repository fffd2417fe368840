package store

import (
	"context"

	"cloud.google.com/go/firestore"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Work counts executions by lane.
type Work struct {
	Waiting, Running LaneCounts
	Limit            int // counting stops at this number
}

// LaneCounts has a number for each lane.
type LaneCounts struct{ Interactive, Batch int }

// TenantWork counts the tenant's queued and running executions, each of the four numbers not further than limit.
// Firestore charges one read for each thousand that it counts, at least one for each number.
func (s *Store) TenantWork(ctx context.Context, tenant string, limit int) (Work, error) {
	return countWork(ctx, s.collection(tenant, executions).Query, limit)
}

// TotalWork counts the executions of all tenants like TenantWork.
func (s *Store) TotalWork(ctx context.Context, limit int) (Work, error) {
	return countWork(ctx, s.client.CollectionGroup(executions).Query, limit)
}

func countWork(ctx context.Context, all firestore.Query, limit int) (Work, error) {
	w := Work{Limit: limit}
	g, ctx := errgroup.WithContext(ctx)
	for status, counts := range map[execution.Status]*LaneCounts{execution.Queued: &w.Waiting, execution.Running: &w.Running} {
		for lane, n := range map[execution.Lane]*int{execution.LaneInteractive: &counts.Interactive, execution.LaneBatch: &counts.Batch} {
			q := all.Where("lane", "==", lane).Where("status", "==", status).Limit(limit)
			g.Go(func() (err error) { *n, err = count(ctx, q); return err })
		}
	}
	return w, g.Wait()
}
