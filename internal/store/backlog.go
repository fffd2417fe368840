package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Backlog counts the unfinished work of all tenants.
type Backlog struct {
	Interactive, Batch LaneBacklog
	Running            int // executions
	Batches            int
	Deliveries         int // of webhooks
}

// LaneBacklog describes the queued executions of one lane.
type LaneBacklog struct {
	Depth     int
	OldestAge time.Duration // since the acceptance; 0 if none is queued
}

// Backlog counts with aggregation queries. Firestore charges one read for each thousand documents.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	now, err := s.Now(ctx)
	if err != nil {
		return b, err
	}
	g, ctx := errgroup.WithContext(ctx)
	all := s.client.CollectionGroup(executions)
	count := func(n *int, q firestore.Query) {
		g.Go(func() (err error) { *n, err = count(ctx, q); return err })
	}
	for lane, l := range map[execution.Lane]*LaneBacklog{execution.LaneInteractive: &b.Interactive, execution.LaneBatch: &b.Batch} {
		// The count is ordered too, so that one index serves both queries.
		queued := all.Where("lane", "==", lane).Where("status", "==", execution.Queued).OrderBy("createdAt", firestore.Asc)
		count(&l.Depth, queued)
		g.Go(func() error {
			oldest, err := list[struct {
				CreatedAt time.Time `firestore:"createdAt"`
			}](ctx, queued.Limit(1).Select("createdAt"))
			if len(oldest) > 0 {
				l.OldestAge = max(0, now.Sub(oldest[0].CreatedAt))
			}
			return err
		})
	}
	count(&b.Running, all.Where("status", "==", execution.Running))
	epoch := time.Unix(0, 0) // an unfinished batch or delivery always has a due time
	count(&b.Batches, s.client.CollectionGroup(batches).Where("due", ">", epoch))
	count(&b.Deliveries, s.client.CollectionGroup(deliveries).Where("due", ">", epoch))
	return b, g.Wait()
}
