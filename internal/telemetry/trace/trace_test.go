package trace

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/telemetry/trace/tracetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStopFlushesSpans(t *testing.T) {
	collector := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tracer, stop, err := Start(t.Context(), Options{Enabled: true, Service: "airlock-test", Version: "v1"}, zap.NewNop())
	require.NoError(t, err)
	ctx, above := tracer.Start(t.Context(), "above")
	_, below := StartChild(ctx, "below")
	below.End()
	above.End()
	stop()

	spans := collector.Spans()
	require.Len(t, spans, 2)
	require.Equal(t, "airlock-test", spans[0].Service)
	require.Equal(t, "below", spans[0].Name)
	require.Equal(t, spans[1].SpanId, spans[0].ParentSpanId)
	require.Equal(t, zap.Stringer("trace", above.SpanContext().TraceID()), LogField(ctx))
}

func TestEnvironmentOverridesServiceName(t *testing.T) {
	collector := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.URL+"/v1/traces")
	t.Setenv("OTEL_SERVICE_NAME", "mine")
	tracer, stop, err := Start(t.Context(), Options{Enabled: true, Service: "airlock-test", Version: "v1"}, zap.NewNop())
	require.NoError(t, err)
	_, span := tracer.Start(t.Context(), "one")
	span.End()
	stop()
	require.Len(t, collector.Spans(), 1)
	require.Equal(t, "mine", collector.Spans()[0].Service)
}

// A collector that is away costs a warning and nothing else.
func TestCollectorUnavailable(t *testing.T) {
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", away.URL)
	core, logged := observer.New(zapcore.WarnLevel)
	tracer, stop, err := Start(t.Context(), Options{Enabled: true, Service: "airlock-test", Version: "v1"}, zap.New(core))
	require.NoError(t, err)
	_, span := tracer.Start(t.Context(), "one")
	span.End()
	stop()
	require.NotZero(t, logged.Len())
}

func TestNothingIsSentWhenDisabled(t *testing.T) {
	collector := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tracer, stop, err := Start(t.Context(), Options{Service: "airlock-test", Version: "v1"}, zap.NewNop())
	require.NoError(t, err)
	ctx, span := tracer.Start(t.Context(), "one")
	_, below := StartChild(ctx, "below")
	require.False(t, span.IsRecording() || below.IsRecording())
	require.Equal(t, zap.Skip(), LogField(ctx))
	below.End()
	span.End()
	stop()
	require.Empty(t, collector.Spans())
}
