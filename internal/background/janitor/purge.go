package janitor

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

const (
	// expireInterval is how often the leader looks for what has been kept long enough.
	purgeInterval = time.Minute
	// page is how many are deleted between two renewals of the lease.
	purgePageSize = 100
	// pageTimeout cuts a page off before the lease runs out; the next one goes on.
	purgePageTimeout = 6 * time.Second
	// uploadTime is more than any upload of a batch may take.
	maxUploadDuration = time.Hour
)

// Archive is where what has ended is kept. Each method deletes at most limit,
// and returns how many; it may be cut off and repeated.
type PurgeStore interface {
	PurgeExecutions(ctx context.Context, before time.Time, limit int, forget store.ArtifactDeleter) (int, error)
	PurgeBatches(ctx context.Context, before time.Time, limit int, forget store.ArtifactDeleter) (int, error)
	PurgeConversations(ctx context.Context, since time.Time, limit int) (int, error)
	PurgeDeliveries(ctx context.Context, before time.Time, limit int) (int, error)
	PurgeUploads(ctx context.Context, before time.Time, limit int) (int, error)
}

// Files are what jobs left, apart from the archive. To delete what is not there is no error.
type ArtifactDeleter interface {
	Delete(ctx context.Context, ref execution.Ref) error
}

// Expiry says what is deleted, and when. Without an Archive nothing is.
type Retention struct {
	Store     PurgeStore
	Artifacts ArtifactDeleter
	Period    time.Duration // after the end; 0: for ever
}

// expire deletes, page by page, all that has been kept long enough, for as long as this janitor leads.
func (j *Janitor) purge(ctx context.Context) error {
	for {
		more, err := j.purgePage(ctx)
		if err != nil || !more {
			return err
		}
	}
}

func (j *Janitor) purgePage(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, purgePageTimeout)
	defer cancel()
	leads, now, err := j.store.AcquireLeadership(ctx, j.name, Lease)
	if err != nil || !leads {
		return false, err
	}
	retention := j.retention
	uploads, err := retention.Store.PurgeUploads(ctx, now.Add(-maxUploadDuration), purgePageSize)
	if err != nil || retention.Period == 0 {
		return uploads == purgePageSize, err
	}
	before := now.Add(-retention.Period)
	executions, err := retention.Store.PurgeExecutions(ctx, before, purgePageSize, retention.Artifacts.Delete)
	if err != nil {
		return false, err
	}
	batches, err := retention.Store.PurgeBatches(ctx, before, purgePageSize, retention.Artifacts.Delete)
	if err != nil {
		return false, err
	}
	conversations, err := retention.Store.PurgeConversations(ctx, before, purgePageSize)
	if err != nil {
		return false, err
	}
	deliveries, err := retention.Store.PurgeDeliveries(ctx, before, purgePageSize)
	if uploads+executions+batches+conversations+deliveries > 0 {
		j.log.Info("deleted what has been kept long enough", zap.Int("uploads", uploads), zap.Int("executions", executions),
			zap.Int("batches", batches), zap.Int("conversations", conversations), zap.Int("deliveries", deliveries))
	}
	return max(uploads, executions, batches, conversations, deliveries) >= purgePageSize, err
}
