package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/airlock-run/airlock/internal/store"
)

// startWithSpanRecorder starts a server whose spans are recorded.
func startWithSpanRecorder(t *testing.T) (server, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test")
	return startServer(t, func(c *Config, _ *store.Store) { c.Tracer = tracer }), spans
}

func TestSpanNames(t *testing.T) {
	s, spans := startWithSpanRecorder(t)
	s.do(http.MethodGet, "/executions/exe_none?wait=0s", "")
	s.do(http.MethodGet, "/healthz", "")
	s.do(http.MethodGet, "/readyz", "")
	s.do(http.MethodGet, "/metrics", "")
	s.do("PURGE", "/nowhere/secret", "")

	ended := spans.Ended()
	require.Len(t, ended, 2)
	require.Equal(t, "GET /executions/:id", ended[0].Name())
	require.Contains(t, ended[0].Attributes(), attribute.Int("http.response.status_code", http.StatusNotFound))
	require.Equal(t, codes.Unset, ended[0].Status().Code, "an error of the client is no error of the API")
	require.NotContains(t, ended[1].Name(), "PURGE", "a client may invent methods")
	require.NotContains(t, ended[1].Name(), "secret")
}

func TestSpanJoinsCallerTrace(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, c := range map[string]struct {
		traceparent string
		joins       bool
	}{
		"a parent":      {parent, true},
		"none":          {"", false},
		"malformed":     {"00-zz-zz-zz", false},
		"an empty ID":   {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
		"much too long": {strings.Repeat(parent, 20), false},
	} {
		t.Run(name, func(t *testing.T) {
			s, spans := startWithSpanRecorder(t)
			state := "vendor=" + strings.Repeat("x", 250)
			require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/agents", "", "traceparent", c.traceparent, "tracestate", state).StatusCode)
			require.Len(t, spans.Ended(), 1)
			span := spans.Ended()[0]
			require.Equal(t, c.joins, span.SpanContext().TraceID().String() == "0af7651916cd43dd8448eb211c80319c")
			require.Equal(t, c.joins, span.Parent().IsValid())
			require.Zero(t, span.SpanContext().TraceState().Len())
		})
	}
}
