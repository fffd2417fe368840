package janitor

import (
	"context"
	"time"

	"go.uber.org/zap"
)

const (
	// purgeInterval is how often the leader looks for data past its retention.
	purgeInterval = time.Minute
	// purgePageSize is how many documents of a kind are deleted between two renewals of the lease.
	purgePageSize = 100
	// purgePageTimeout ends a page before the lease expires. The next page continues.
	purgePageTimeout = 6 * time.Second
	// maxUploadDuration is longer than any upload of a batch may take.
	maxUploadDuration = time.Hour
)

// purge deletes all data past its retention, page by page, for as long as this janitor leads.
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
	leads, now, err := j.config.Store.AcquireLeadership(ctx, j.name, Lease)
	if err != nil || !leads {
		return false, err
	}
	retention := j.config.Retention
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
		j.config.Log.Info("purged data past its retention", zap.Int("uploads", uploads), zap.Int("executions", executions),
			zap.Int("batches", batches), zap.Int("conversations", conversations), zap.Int("deliveries", deliveries))
	}
	return max(uploads, executions, batches, conversations, deliveries) >= purgePageSize, err
}
