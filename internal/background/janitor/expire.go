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
	expireInterval = time.Minute
	// page is how many are deleted between two renewals of the lease.
	page = 100
	// pageTimeout cuts a page off before the lease runs out; the next one goes on.
	pageTimeout = 6 * time.Second
	// uploadTime is more than any upload of a batch may take.
	uploadTime = time.Hour
)

// Archive is where what has ended is kept. Each method deletes at most limit,
// and returns how many; it may be cut off and repeated.
type Archive interface {
	ExpireExecutions(ctx context.Context, before time.Time, limit int, forget store.Forget) (int, error)
	ExpireBatches(ctx context.Context, before time.Time, limit int, forget store.Forget) (int, error)
	ExpireConversations(ctx context.Context, since time.Time, limit int) (int, error)
	ExpireDeliveries(ctx context.Context, before time.Time, limit int) (int, error)
	ExpireUploads(ctx context.Context, before time.Time, limit int) (int, error)
}

// Files are what jobs left, apart from the archive. To delete what is not there is no error.
type Files interface {
	Delete(ctx context.Context, ref execution.Ref) error
}

// Expiry says what is deleted, and when. Without an Archive nothing is.
type Expiry struct {
	Archive   Archive
	Files     Files
	Retention time.Duration // after the end; 0: for ever
}

// expire deletes, page by page, all that has been kept long enough, for as long as this janitor leads.
func (j *Janitor) expire(ctx context.Context) error {
	for {
		more, err := j.expirePage(ctx)
		if err != nil || !more {
			return err
		}
	}
}

func (j *Janitor) expirePage(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	leads, now, err := j.store.Lead(ctx, j.name, Lease)
	if err != nil || !leads {
		return false, err
	}
	x := j.expiry
	uploads, err := x.Archive.ExpireUploads(ctx, now.Add(-uploadTime), page)
	if err != nil || x.Retention == 0 {
		return uploads == page, err
	}
	before := now.Add(-x.Retention)
	executions, err := x.Archive.ExpireExecutions(ctx, before, page, x.Files.Delete)
	if err != nil {
		return false, err
	}
	batches, err := x.Archive.ExpireBatches(ctx, before, page, x.Files.Delete)
	if err != nil {
		return false, err
	}
	conversations, err := x.Archive.ExpireConversations(ctx, before, page)
	if err != nil {
		return false, err
	}
	deliveries, err := x.Archive.ExpireDeliveries(ctx, before, page)
	if uploads+executions+batches+conversations+deliveries > 0 {
		j.log.Info("deleted what has been kept long enough", zap.Int("uploads", uploads), zap.Int("executions", executions),
			zap.Int("batches", batches), zap.Int("conversations", conversations), zap.Int("deliveries", deliveries))
	}
	return max(uploads, executions, batches, conversations, deliveries) >= page, err
}
