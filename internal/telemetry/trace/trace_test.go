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
	tracer, stop, err := Start(t.Context(), Config{Enabled: true, Service: "airlock-test", Version: "v1"}, zap.NewNop())
	require.NoError(t, err)
	ctx, parent := tracer.Start(t.Context(), "parent")
	_, child := StartChild(ctx, "child")
	child.End()
	parent.End()
	stop()

	spans := collector.Spans()
	require.Len(t, spans, 2)
	require.Equal(t, "airlock-test", spans[0].Service)
	require.Equal(t, "child", spans[0].Name)
	require.Equal(t, spans[1].SpanId, spans[0].ParentSpanId)
	require.Equal(t, zap.Stringer("trace", parent.SpanContext().TraceID()), LogField(ctx))
}

func TestEnvironmentOverridesServiceName(t *testing.T) {
	collector := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.URL+"/v1/traces")
	t.Setenv("OTEL_SERVICE_NAME", "custom")
	tracer, stop, err := Start(t.Context(), Config{Enabled: true, Service: "airlock-test", Version: "v1"}, zap.NewNop())
	require.NoError(t, err)
	_, span := tracer.Start(t.Context(), "one")
	span.End()
	stop()
	require.Len(t, collector.Spans(), 1)
	require.Equal(t, "custom", collector.Spans()[0].Service)
}

// If the collector is unreachable, Start and stop only log a warning.
func TestCollectorUnavailable(t *testing.T) {
	unreachable := httptest.NewServer(http.NotFoundHandler())
	unreachable.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", unreachable.URL)
	core, logged := observer.New(zapcore.WarnLevel)
	tracer, stop, err := Start(t.Context(), Config{Enabled: true, Service: "airlock-test", Version: "v1"}, zap.New(core))
	require.NoError(t, err)
	_, span := tracer.Start(t.Context(), "one")
	span.End()
	stop()
	require.NotZero(t, logged.Len())
}

func TestNothingIsSentWhenDisabled(t *testing.T) {
	collector := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tracer, stop, err := Start(t.Context(), Config{Service: "airlock-test", Version: "v1"}, zap.NewNop())
	require.NoError(t, err)
	ctx, span := tracer.Start(t.Context(), "one")
	_, child := StartChild(ctx, "child")
	require.False(t, span.IsRecording() || child.IsRecording())
	require.Equal(t, zap.Skip(), LogField(ctx))
	child.End()
	span.End()
	stop()
	require.Empty(t, collector.Spans())
}
