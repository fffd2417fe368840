// Package metrics declares all Prometheus metrics of Airlock in one place, so that tests can compare the dashboard, the
// alerts and the docs with them.
//
// In: the counts, from the packages that do the work. Out: the HTTP handler for Prometheus. No label ever holds a
// tenant, an ID, or any other value that a caller chooses: the configuration bounds the number of series. The package
// imports no other package of Airlock.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metric describes a metric.
type Metric struct {
	Name   string
	Type   string // counter, gauge, histogram
	Labels []string
	Help   string
}

// All returns the metrics in the order of their declarations. Metrics of Go and of the process are not among them.
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

// Handler serves the metrics of this process and those of the extra collectors.
func Handler(extra ...prometheus.Collector) http.Handler {
	extraRegistry := prometheus.NewRegistry()
	extraRegistry.MustRegister(extra...)
	gatherers := prometheus.Gatherers{registry, extraRegistry}
	return promhttp.HandlerFor(gatherers, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// Route returns a handler that serves metrics at /metrics alone, for an address of their own.
func Route(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	return mux
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	register(v, Metric{Name: name, Type: "counter", Labels: labels, Help: help})
	return v
}

func gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	register(g, Metric{Name: name, Type: "gauge", Help: help})
	return g
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	register(v, Metric{Name: name, Type: "gauge", Labels: labels, Help: help})
	return v
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	register(v, Metric{Name: name, Type: "histogram", Labels: labels, Help: help})
	return v
}

func register(c prometheus.Collector, m Metric) {
	registry.MustRegister(c)
	all = append(all, m)
}

// newDesc declares a gauge that an extra collector of Handler reports.
func newDesc(name, help string, labels ...string) *prometheus.Desc {
	all = append(all, Metric{Name: name, Type: "gauge", Labels: labels, Help: help})
	return prometheus.NewDesc(name, help, labels, nil)
}
