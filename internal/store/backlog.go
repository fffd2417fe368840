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
	Queued     map[execution.Lane]int
	Running    int // executions
	Batches    int
	Deliveries int // of webhooks
}

// Backlog counts with aggregation queries. Firestore charges one read for each thousand documents. The queries compare
// only for equality: an index that is ordered by a time would bound how many executions all tenants together accept.
// So the age of the oldest queued execution is not known here.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	var interactive, batch int
	g, ctx := errgroup.WithContext(ctx)
	all := s.client.CollectionGroup(executions)
	count := func(n *int, q firestore.Query) {
		g.Go(func() (err error) { *n, err = count(ctx, q); return err })
	}
	queued := all.Where("status", "==", execution.Queued)
	count(&interactive, queued.Where("lane", "==", execution.LaneInteractive))
	count(&batch, queued.Where("lane", "==", execution.LaneBatch))
	count(&b.Running, all.Where("status", "==", execution.Running))
	count(&b.Batches, s.client.CollectionGroup(batches).Where("finishedAt", "==", nil))
	epoch := time.Unix(0, 0) // an unfinished delivery always has a due time
	count(&b.Deliveries, s.client.CollectionGroup(deliveries).Where("due", ">", epoch))
	err := g.Wait()
	b.Queued = map[execution.Lane]int{execution.LaneInteractive: interactive, execution.LaneBatch: batch}
	return b, err
}
