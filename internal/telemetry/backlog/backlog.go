// Package backlog tells Prometheus what waits in Firestore. Every process that
// is asked says the same; queries take the maximum.
package backlog

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

const (
	// fresh is how long a count serves every scrape of the process.
	cacheTTL = 10 * time.Second
	// timeout is less than Prometheus' own of 10 s, so that the process' other
	// metrics are there when Firestore does not answer.
	timeout = 5 * time.Second
)

// Store counts. It may be called again at any time.
type Store interface {
	Backlog(ctx context.Context) (store.Backlog, error)
}

// Collector is a prometheus.Collector.
type Collector struct {
	store Store
	log   *zap.Logger
	now   func() time.Time

	mu       sync.Mutex
	cached   store.Backlog
	cachedAt time.Time // zero: never
}

// New returns a collector; now is this machine's clock.
func New(s Store, now func() time.Time, log *zap.Logger) *Collector {
	return &Collector{store: s, now: now, log: log}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metrics.QueueDepth, metrics.QueueAge, metrics.ExecutionsRunning, metrics.BatchesInProgress, metrics.WebhooksPending} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. While Firestore does not answer
// there is nothing to tell: an alert watches for that.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	b, ok := c.load()
	if !ok {
		return
	}
	emit := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for lane, w := range map[execution.Lane]store.LaneBacklog{execution.LaneInteractive: b.Interactive, execution.LaneBatch: b.Batch} {
		emit(metrics.QueueDepth, float64(w.Depth), string(lane))
		emit(metrics.QueueAge, w.OldestAge.Seconds(), string(lane))
	}
	emit(metrics.ExecutionsRunning, float64(b.Running))
	emit(metrics.BatchesInProgress, float64(b.Batches))
	emit(metrics.WebhooksPending, float64(b.Deliveries))
}

func (c *Collector) load() (store.Backlog, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cachedAt.IsZero() && c.now().Sub(c.cachedAt) < cacheTTL {
		return c.cached, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	backlog, err := c.store.Backlog(ctx)
	if err != nil {
		c.log.Warn("could not count what waits", zap.Error(err))
		return store.Backlog{}, false
	}
	c.cached, c.cachedAt = backlog, c.now()
	return backlog, true
}
