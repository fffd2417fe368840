// Package janitor finds what is stuck and puts it right: what was queued but
// never heard, and what was leased by an executor that is gone. It needs to
// know only one thing of an execution, that it is due. It also deletes what has
// been kept long enough.
package janitor

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/supervise"
)

// With execution's own times these make the bounds that docs/architecture.md states.
const (
	// Interval is the time between two sweeps, and between two looks at who leads.
	Interval = 3 * time.Second
	// Lease is how long a leader leads that says nothing: one lost renewal does not unseat it.
	Lease = 8 * time.Second
)

// resignTimeout bounds what the end of a janitor waits for the store.
const resignTimeout = 2 * time.Second

// Store is where executions are. All methods are safe to repeat, by any number of janitors.
type Store interface {
	AcquireLeadership(ctx context.Context, name string, lease time.Duration) (leads bool, now time.Time, err error)
	ReleaseLeadership(ctx context.Context, name string) error
	DueExecutions(ctx context.Context, now time.Time, limit int) ([]execution.Ref, error)
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// Bell tells of a change.
type Publisher interface {
	Publish(ctx context.Context, ch execution.Change) error
}

// Janitor may run in any number of processes. One of them leads, and sweeps;
// that saves the others the looking. It is not needed for what is right: each
// step is a transaction that only one carries through, so a leader that was
// paused and comes back harms nothing.
type Janitor struct {
	name      string // among the janitors
	store     Store
	publisher Publisher
	retention Retention
	interval  time.Duration
	log       *zap.Logger
}

// New returns a janitor that sweeps once in every interval while it leads.
func New(s Store, p Publisher, retention Retention, interval time.Duration, log *zap.Logger) *Janitor {
	return &Janitor{name: id.New("janitor-"), store: s, publisher: p, retention: retention, interval: interval, log: log}
}

// Run works until ctx ends, through any fault of the store, and then gives up the lead.
func (j *Janitor) Run(ctx context.Context) error {
	defer j.resign(ctx)
	var loops errgroup.Group
	loops.Go(func() error { return supervise.Run(ctx, j.log, "sweep", supervise.Every(j.interval, j.sweep)) })
	if j.retention.Store != nil {
		loops.Go(func() error { return supervise.Run(ctx, j.log, "expire", supervise.Every(purgeInterval, j.purge)) })
	}
	return loops.Wait()
}

func (j *Janitor) resign(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTimeout)
	defer cancel()
	if err := j.store.ReleaseLeadership(ctx, j.name); err != nil {
		j.log.Warn("could not give up the lead; another janitor takes it once the lease has run out", zap.Error(err))
	}
}
