package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Backlog is what waits, of all owners.
type Backlog struct {
	Interactive, Batch Waiting
	Running            int
	Batches            int // that have not ended
	Deliveries         int // of webhooks, likewise
}

// Waiting is what is queued in one lane.
type Waiting struct {
	Depth  int
	Oldest time.Duration // since its acceptance; 0 when nothing waits
}

// Backlog counts by aggregation: Firestore charges a read for each thousand
// documents that it finds.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	now, err := s.Now(ctx)
	if err != nil {
		return b, err
	}
	counting, ctx := errgroup.WithContext(ctx)
	all := s.client.CollectionGroup(executions)
	count := func(n *int, q firestore.Query) {
		counting.Go(func() (err error) { *n, err = count(ctx, q); return err })
	}
	for lane, w := range map[execution.Lane]*Waiting{execution.Interactive: &b.Interactive, execution.Batch: &b.Batch} {
		// In the same order, so that one index serves both queries.
		queued := all.Where("lane", "==", lane).Where("status", "==", execution.Queued).OrderBy("createdAt", firestore.Asc)
		count(&w.Depth, queued)
		counting.Go(func() error {
			oldest, err := list[struct {
				CreatedAt time.Time `firestore:"createdAt"`
			}](ctx, queued.Limit(1).Select("createdAt"))
			if len(oldest) > 0 {
				w.Oldest = max(0, now.Sub(oldest[0].CreatedAt))
			}
			return err
		})
	}
	count(&b.Running, all.Where("status", "==", execution.Running))
	undone := time.Unix(0, 0) // whatever has not ended has a time at which it is due
	count(&b.Batches, s.client.CollectionGroup(batches).Where("due", ">", undone))
	count(&b.Deliveries, s.client.CollectionGroup(deliveries).Where("due", ">", undone))
	return b, counting.Wait()
}
