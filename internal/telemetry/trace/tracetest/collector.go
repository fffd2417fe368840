// Package tracetest provides a collector of spans for tests. It receives OTLP over HTTP and never forwards a span.
package tracetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector receives spans by OTLP over HTTP. Its methods are safe for concurrent use.
type Collector struct {
	URL string

	mu    sync.Mutex
	spans []Span
}

// Span is a received span with the service that sent it.
type Span struct {
	*trace.Span
	Service string
}

// Start returns a collector that serves until the test ends.
func Start(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		var request collector.ExportTraceServiceRequest
		if !assert.NoError(t, proto.Unmarshal(body, &request)) || !assert.Equal(t, "/v1/traces", r.URL.Path) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.record(&request)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *Collector) record(request *collector.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resourceSpans := range request.ResourceSpans {
		service := attributes(resourceSpans.Resource.Attributes)["service.name"].GetStringValue()
		for _, scope := range resourceSpans.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans = append(c.spans, Span{Span: span, Service: service})
			}
		}
	}
}

// Spans returns the spans received so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Attributes returns the attributes of the span by their names.
func (s Span) Attributes() map[string]*common.AnyValue { return attributes(s.Span.Attributes) }

func attributes(list []*common.KeyValue) map[string]*common.AnyValue {
	byName := map[string]*common.AnyValue{}
	for _, kv := range list {
		byName[kv.Key] = kv.Value
	}
	return byName
}
