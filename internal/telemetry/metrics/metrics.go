// Package metrics names everything that Airlock counts, in one place, so that
// the dashboard, the alerts and the docs can be held against it. Whoever counts
// calls it; it knows none of them. No label ever holds a tenant, an ID, or
// anything else that a caller may choose: the number of series is bounded by
// the configuration.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metric is what is known of a metric before anything was counted.
type Metric struct {
	Name   string
	Type   string // counter, gauge, histogram
	Labels []string
	Help   string
}

// All are the metrics of Airlock's own, in the order of the files.
func All() []Metric { return all }

var (
	all      []Metric
	registry = newRegistry()
)

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler shows what this process has counted, and what the collectors say that
// belong to one part of it.
func Handler(extra ...prometheus.Collector) http.Handler {
	extraRegistry := prometheus.NewRegistry()
	extraRegistry.MustRegister(extra...)
	return promhttp.HandlerFor(prometheus.Gatherers{registry, extraRegistry}, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	register(v, name, "counter", help, labels)
	return v
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	register(v, name, "gauge", help, labels)
	return v
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	register(v, name, "histogram", help, labels)
	return v
}

func register(c prometheus.Collector, name, kind, help string, labels []string) {
	registry.MustRegister(c)
	all = append(all, Metric{Name: name, Type: kind, Labels: labels, Help: help})
}

// described notes a gauge that a collector of Handler's reports.
func newDesc(name, help string, labels ...string) *prometheus.Desc {
	all = append(all, Metric{Name: name, Type: "gauge", Labels: labels, Help: help})
	return prometheus.NewDesc(name, help, labels, nil)
}
