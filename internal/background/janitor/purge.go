package janitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/store"
)

const (
	// purgeInterval is how often the leader looks for data past its retention.
	purgeInterval = time.Minute
	// purgePageSize is how many resources one query returns.
	purgePageSize = 100
	// purgeConcurrency bounds how many resources are deleted at the same time.
	purgeConcurrency = 16
	// deleteTimeout bounds one call of Expired.Delete.
	deleteTimeout = 20 * time.Second
	// maxUploadDuration is longer than any upload of a batch or a file may take.
	maxUploadDuration = time.Hour
)

// kind is a kind of resources with a retention.
type kind struct {
	name      string
	retention time.Duration
	find      func(ctx context.Context, before time.Time, scan *store.Scan, limit int) ([]store.Expired, error)
}

func (r Retention) kinds() []kind {
	kinds := []kind{
		{"uploads", maxUploadDuration, r.Store.ExpiredUploads},
		{"files", 0, r.Store.ExpiredFiles}, // each has its own time
		{"contents of files", 0, r.Store.DiscardedFiles},
	}
	if r.Period == 0 {
		return kinds
	}
	return append(kinds,
		kind{"executions", r.Period, r.Store.ExpiredExecutions},
		kind{"batches", r.Period, r.Store.ExpiredBatches},
		kind{"conversations", r.Period, r.Store.ExpiredConversations},
		kind{"deliveries", r.Period, r.Store.ExpiredDeliveries},
		kind{"deleted agents", r.Period, r.Store.ExpiredAgents},
	)
}

// purge deletes all data past its retention, page by page. What cannot be deleted is
// skipped, and tried again after a back-off.
func (j *Janitor) purge(ctx context.Context) (err error) {
	for _, k := range j.config.Retention.kinds() {
		if kindErr := j.purgeKind(ctx, k); kindErr != nil {
			err = errors.Join(err, fmt.Errorf("purge %s: %w", k.name, kindErr))
		}
	}
	return err
}

func (j *Janitor) purgeKind(ctx context.Context, k kind) error {
	for scan := new(store.Scan); ; {
		expired, err := j.findExpired(ctx, k, scan)
		if err != nil {
			return err
		}
		var deletes errgroup.Group
		deletes.SetLimit(purgeConcurrency)
		for _, resource := range expired {
			deletes.Go(func() error {
				_ = j.failedPurges.Do(ctx, resource.Path, func(ctx context.Context) error { return j.deleteExpired(ctx, resource) })
				return nil
			})
		}
		_ = deletes.Wait() // always nil
		if len(expired) > 0 {
			j.config.Log.Info("purged data past its retention", zap.String("kind", k.name), zap.Int("found", len(expired)))
		}
		if scan.AtFront() || ctx.Err() != nil {
			return nil
		}
	}
}

func (j *Janitor) findExpired(ctx context.Context, k kind, scan *store.Scan) ([]store.Expired, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now, err := j.config.Store.Now(ctx)
	if err != nil {
		return nil, err
	}
	return k.find(ctx, now.Add(-k.retention), scan, purgePageSize)
}

func (j *Janitor) deleteExpired(ctx context.Context, resource store.Expired) error {
	for {
		callCtx, cancel := context.WithTimeout(ctx, deleteTimeout)
		more, err := resource.Delete(callCtx, j.config.Retention.Artifacts.Delete)
		cancel()
		if err != nil || !more {
			return err
		}
	}
}
