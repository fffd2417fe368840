package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Backlog is what waits, of all tenants.
type Backlog struct {
	Interactive, Batch LaneBacklog
	Running            int
	Batches            int // that have not ended
	Deliveries         int // of webhooks, likewise
}

// Waiting is what is queued in one lane.
type LaneBacklog struct {
	Depth     int
	OldestAge time.Duration // since its acceptance; 0 when nothing waits
}

// Backlog counts by aggregation: Firestore charges a read for each thousand
// documents that it finds.
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
	for lane, w := range map[execution.Lane]*LaneBacklog{execution.LaneInteractive: &b.Interactive, execution.LaneBatch: &b.Batch} {
		// In the same order, so that one index serves both queries.
		queued := all.Where("lane", "==", lane).Where("status", "==", execution.Queued).OrderBy("createdAt", firestore.Asc)
		count(&w.Depth, queued)
		g.Go(func() error {
			oldest, err := list[struct {
				CreatedAt time.Time `firestore:"createdAt"`
			}](ctx, queued.Limit(1).Select("createdAt"))
			if len(oldest) > 0 {
				w.OldestAge = max(0, now.Sub(oldest[0].CreatedAt))
			}
			return err
		})
	}
	count(&b.Running, all.Where("status", "==", execution.Running))
	epoch := time.Unix(0, 0) // whatever has not ended has a time at which it is due
	count(&b.Batches, s.client.CollectionGroup(batches).Where("due", ">", epoch))
	count(&b.Deliveries, s.client.CollectionGroup(deliveries).Where("due", ">", epoch))
	return b, g.Wait()
}
