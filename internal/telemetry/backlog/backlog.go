// Package backlog reports the backlog to Prometheus: queued and running executions, unfinished batches, pending
// webhooks.
//
// In: counts from Firestore. Out: gauges, when Prometheus scrapes the process. Every process reports the same numbers,
// so queries take the maximum. The package never counts work of its own process: that is package metrics.
package backlog

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

const (
	// cacheTTL is how long one count serves all scrapes of the process.
	cacheTTL = 10 * time.Second
	// timeout is shorter than Prometheus' own of 10 s. So the other metrics of the process are available when Firestore
	// does not answer.
	timeout = 5 * time.Second
)

// Store counts the backlog in Firestore. It has no side effects.
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

// New returns a collector. now is the clock of this machine.
func New(s Store, now func() time.Time, log *zap.Logger) *Collector {
	return &Collector{store: s, now: now, log: log}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metrics.QueueDepth, metrics.ExecutionsRunning, metrics.BatchesInProgress, metrics.WebhooksPending} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. While Firestore does not answer, it reports nothing, and an alert fires.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	b, ok := c.load()
	if !ok {
		return
	}
	emit := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for lane, queued := range b.Queued {
		emit(metrics.QueueDepth, float64(queued), string(lane))
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
		c.log.Warn("could not count the backlog", zap.Error(err))
		return store.Backlog{}, false
	}
	c.cached, c.cachedAt = backlog, c.now()
	return backlog, true
}
