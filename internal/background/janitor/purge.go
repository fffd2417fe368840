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
	contents  store.ArtifactDeleter // deletes the contents of one
}

func (r Retention) kinds() []kind {
	kinds := []kind{
		{"uploads", maxUploadDuration, r.Store.ExpiredUploads, r.Artifacts.Delete},
		{"files", 0, r.Store.ExpiredFiles, r.Artifacts.Delete}, // each has its own time
		{"contents of files", 0, r.Store.DiscardedFiles, r.Artifacts.Delete},
		{"transcripts", 0, r.Store.ExpiredTranscripts, r.Artifacts.DeleteTranscript}, // each has its own time
	}
	if r.Period == 0 {
		return kinds
	}
	return append(kinds,
		kind{"executions", r.Period, r.Store.ExpiredExecutions, r.Artifacts.Delete},
		kind{"batches", r.Period, r.Store.ExpiredBatches, r.Artifacts.Delete},
		kind{"conversations", r.Period, r.Store.ExpiredConversations, r.Artifacts.Delete},
		kind{"deliveries", r.Period, r.Store.ExpiredDeliveries, r.Artifacts.Delete},
		kind{"deleted agents", r.Period, r.Store.ExpiredAgents, r.Artifacts.Delete},
		kind{"deleted environments", r.Period, r.Store.ExpiredEnvironments, r.Artifacts.Delete},
	)
}

// purge deletes all data past its retention, page by page. What cannot be deleted is
// skipped, and tried again after a back-off.
func (j *Janitor) purge(ctx context.Context) error {
	now, err := j.now(ctx)
	if err != nil {
		return err
	}
	for _, k := range j.config.Retention.kinds() {
		if kindErr := j.purgeKind(ctx, k, now.Add(-k.retention)); kindErr != nil {
			err = errors.Join(err, fmt.Errorf("purge %s: %w", k.name, kindErr))
		}
	}
	return err
}

func (j *Janitor) purgeKind(ctx context.Context, k kind, before time.Time) error {
	for scan := new(store.Scan); ; {
		expired, err := findExpired(ctx, k, before, scan)
		if err != nil {
			return err
		}
		var deletes errgroup.Group
		deletes.SetLimit(purgeConcurrency)
		for _, resource := range expired {
			deletes.Go(func() error {
				_ = j.failedPurges.Do(ctx, k.name+" "+resource.Path, func(ctx context.Context) error { return j.deleteExpired(ctx, k, resource) })
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

func (j *Janitor) now(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return j.config.Store.Now(ctx)
}

func findExpired(ctx context.Context, k kind, before time.Time, scan *store.Scan) ([]store.Expired, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return k.find(ctx, before, scan, purgePageSize)
}

func (j *Janitor) deleteExpired(ctx context.Context, k kind, resource store.Expired) error {
	for {
		callCtx, cancel := context.WithTimeout(ctx, deleteTimeout)
		more, err := resource.Delete(callCtx, k.contents)
		cancel()
		if err != nil || !more {
			return err
		}
	}
}
