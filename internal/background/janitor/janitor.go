// Package janitor finds executions that are stuck, and deletes data after its retention.
//
// The sweep reads executions whose Due has passed and applies execution.Overdue: it publishes queued executions again
// that nobody has claimed, requeues running ones whose lease has expired, and ends those that have waited too long. The
// purge deletes finished executions with their files in blob storage, batches, conversations, deliveries, and uploads
// that were interrupted. A janitor never talks to an executor: it knows only what the store holds.
package janitor

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Together with the times of package execution these give the bounds that docs/reliability.md states.
const (
	// Interval is the time between two sweeps, and between two attempts to become the leader.
	Interval = 3 * time.Second
	// Lease is how long a leader stays the leader without a renewal. One lost renewal does not end it.
	Lease = 8 * time.Second
)

// callTimeout bounds a query, and the repair of one execution.
const callTimeout = 5 * time.Second

// resignTimeout bounds how long a stopping janitor waits for the store.
const resignTimeout = 2 * time.Second

// Store elects the leader and lists the executions that are due. Its methods are safe to repeat, by any number of
// janitors.
type Store interface {
	AcquireLeadership(ctx context.Context, name string, lease time.Duration) (leads bool, now time.Time, err error)
	ReleaseLeadership(ctx context.Context, name string) error
	DueExecutions(ctx context.Context, now time.Time, scan *store.Scan, limit int) ([]execution.Ref, error)
}

// Applier changes executions. Apply is safe to repeat.
type Applier interface {
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// Publisher publishes the notifications of a change. A failed call loses nothing: the next sweep in which the execution
// is due publishes again.
type Publisher interface {
	Publish(ctx context.Context, ch execution.Change) error
}

// PurgeStore finds data past its retention, in pages of at most limit resources, and can delete it.
type PurgeStore interface {
	ExpiredExecutions(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredBatches(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredConversations(ctx context.Context, since time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredDeliveries(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredUploads(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
}

// ArtifactStore has the files of executions. Deleting files that do not exist is no error.
type ArtifactStore interface {
	Delete(ctx context.Context, ref execution.Ref) error
}

// Config has the parts and settings of a Janitor. All fields are required, but see Retention.
type Config struct {
	Store      Store
	Executions Applier // the quota's, because the end of an attempt may release a throttled execution
	Publisher  Publisher
	Retention  Retention
	Interval   time.Duration // between two sweeps
	Log        *zap.Logger
}

// Retention says what is deleted, and when. Without a Store nothing is deleted.
type Retention struct {
	Store     PurgeStore
	Artifacts ArtifactStore
	Period    time.Duration // after the end of an execution, batch or delivery; 0: for ever
}

// Janitor may run in any number of processes. One of them leads and does the work, so that the others cause no
// queries. Correctness does not depend on there being one leader: each step is a conditional write that only one
// janitor can make, so a leader that was paused and continues changes nothing.
type Janitor struct {
	config        Config
	name          string // unique among the janitors
	failedRepairs *supervise.Backoffs[execution.Ref]
	failedPurges  *supervise.Backoffs[string] // by the path of the document
}

// New returns a janitor; Run starts it.
func New(c Config) *Janitor {
	return &Janitor{
		config: c, name: id.New("janitor-"),
		failedRepairs: supervise.NewBackoffs[execution.Ref](supervise.Sweep, c.Log, store.IsUnavailable),
		failedPurges:  supervise.NewBackoffs[string](supervise.Purge, c.Log, store.IsUnavailable),
	}
}

// Run works until ctx ends, continues after every error of the store, and then resigns as leader.
func (j *Janitor) Run(ctx context.Context) error {
	defer j.resign(ctx)
	var loops errgroup.Group
	loops.Go(func() error {
		return supervise.Run(ctx, j.config.Log, "sweep", supervise.Every(j.config.Interval, j.sweep))
	})
	if j.config.Retention.Store != nil {
		loops.Go(func() error {
			return supervise.Run(ctx, j.config.Log, "purge", supervise.Every(purgeInterval, j.purge))
		})
	}
	return loops.Wait()
}

func (j *Janitor) resign(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTimeout)
	defer cancel()
	if err := j.config.Store.ReleaseLeadership(ctx, j.name); err != nil {
		j.config.Log.Warn("could not resign as leader; another janitor takes over when the lease expires", zap.Error(err))
	}
}
