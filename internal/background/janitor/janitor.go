// Package janitor finds executions that are stuck, and deletes data after its retention.
//
// The sweep reads executions whose Due has passed and applies execution.Overdue: it publishes queued executions again
// that nobody has claimed, and ends those that have waited too long. Reap applies execution.LeaseExpired to what an
// expired session holds. Once an hour it marks the tenants whose waiting executions no dispatcher looks for. The purge
// deletes finished executions with their files in blob storage, or at first only their transcripts, and batches,
// conversations, deliveries, uploaded files, and uploads that were interrupted. A janitor never talks to an executor:
// it knows only what the store holds.
package janitor

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Together with the times of package execution these give the bounds that docs/reliability.md states.
const (
	// Interval is the longest time between two sweeps. It bounds how late something is found that became due earlier
	// than what the janitor knew of.
	Interval = 12 * time.Second
	// minInterval is the shortest time between two sweeps.
	minInterval = time.Second
)

// callTimeout bounds a query, and the repair of one execution.
const callTimeout = 5 * time.Second

// Store lists executions. Its methods are safe to repeat, by any number of janitors.
type Store interface {
	Now(ctx context.Context) (time.Time, error)
	NextDue(ctx context.Context) (due, now time.Time, err error)
	DueExecutions(ctx context.Context, now time.Time, scan *store.Scan, limit int) ([]execution.Ref, error)
	ExecutionsOfSession(ctx context.Context, session string, scan *store.Scan, limit int) ([]execution.Ref, error)
	WaitingStore
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
	ExpiredTranscripts(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredBatches(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredConversations(ctx context.Context, since time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredDeliveries(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredAgents(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredEnvironments(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredFiles(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	DiscardedFiles(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
	ExpiredUploads(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
}

// ArtifactStore has the contents of executions and of uploaded files. Delete deletes all of them, DeleteTranscript only
// the transcript. Deleting what does not exist is no error.
type ArtifactStore interface {
	Delete(ctx context.Context, ref execution.Ref) error
	DeleteTranscript(ctx context.Context, ref execution.Ref) error
}

// Config has the parts and settings of a Janitor. All fields are required, but see Retention.
type Config struct {
	Store      Store
	Executions Applier // the quota's, because the end of an attempt may release a throttled execution
	Publisher  Publisher
	Retention  Retention
	Interval   time.Duration             // the longest between two sweeps
	OnFinished func(execution.Execution) // receives each execution that this janitor ends; must not block
	// StartableRuntimes returns the runtimes that living executors can start; nil if that is not known.
	StartableRuntimes func(context.Context) []string
	Log               *zap.Logger
}

// Retention says what is deleted, and when. Without a Store nothing is deleted.
type Retention struct {
	Store     PurgeStore
	Artifacts ArtifactStore
	Period    time.Duration // after the end of an execution, batch or delivery; 0: for ever
}

// Janitor works while its process leads, so that one process makes the queries for all. Correctness does not depend on
// there being one: each step is a conditional write that only one janitor can make, so a leader that was paused and
// continues changes nothing.
type Janitor struct {
	config        Config
	failedRepairs *supervise.Backoffs[execution.Ref]
	failedPurges  *supervise.Backoffs[string] // by the kind and the path of the document
}

// New returns a janitor; Run starts it.
func New(c Config) *Janitor {
	return &Janitor{
		config:        c,
		failedRepairs: supervise.NewBackoffs[execution.Ref](supervise.Sweep, c.Log, store.IsUnavailable),
		failedPurges:  supervise.NewBackoffs[string](supervise.Purge, c.Log, store.IsUnavailable),
	}
}

// Run sweeps and purges until ctx ends, and continues after every error of the store. ctx must end when this process
// does not lead any more.
func (j *Janitor) Run(ctx context.Context) error {
	var loops errgroup.Group
	loops.Go(func() error { return supervise.Run(ctx, j.config.Log, "sweep", j.runSweeps) })
	loops.Go(func() error {
		return supervise.Run(ctx, j.config.Log, "mark waiting tenants", supervise.Every(markInterval, j.markWaiting))
	})
	if j.config.Retention.Store != nil {
		loops.Go(func() error {
			return supervise.Run(ctx, j.config.Log, "purge", supervise.Every(purgeInterval, j.purge))
		})
	}
	return loops.Wait()
}
