package gateway_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// Each call that is sent upstream has a span in the endpoint's trace; a denied request has none. The endpoint outlives
// the context in which it was opened. Neither the sandbox nor the provider can read or change the trace context.
func TestCallSpans(t *testing.T) {
	before := otel.GetTextMapPropagator()
	otel.SetTextMapPropagator(propagation.TraceContext{})
	t.Cleanup(func() { otel.SetTextMapPropagator(before) })
	spans := tracetest.NewSpanRecorder()
	ctx, cancel := context.WithCancel(t.Context())
	ctx, attempt := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("test").Start(ctx, "attempt")
	upstream := startModel(t, modelstub.Sequence(modelstub.Text("hi"), modelstub.Status(529, "overloaded_error", "later")))
	w := openEndpointWithContext(ctx, t, gateway.Config{Upstream: upstream.URL(), APIKey: key}, policy)
	cancel()

	require.Equal(t, http.StatusOK, w.post(requestBody(nil), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").status)
	require.Equal(t, 529, w.post(requestBody(nil)).status)
	require.Equal(t, http.StatusForbidden, w.post(requestBody(map[string]any{"model": "another"})).status)
	require.NoError(t, w.Close()) // waits for the calls, and so for their spans

	ended := spans.Ended()
	require.Len(t, ended, 2)
	for _, call := range ended {
		require.Equal(t, attempt.SpanContext().SpanID(), call.Parent().SpanID())
		require.Contains(t, call.Attributes(), attribute.String("gen_ai.request.model", model))
	}
	sum := w.Summary()
	require.Subset(t, ended[0].Attributes(), []attribute.KeyValue{
		attribute.Int("http.response.status_code", http.StatusOK),
		attribute.Int64("gen_ai.usage.input_tokens", sum.Tokens.Total()-sum.Tokens.Output), attribute.Int64("gen_ai.usage.output_tokens", sum.Tokens.Output),
		attribute.Float64("airlock.cost_usd", sum.CostUSD),
	})
	require.Equal(t, codes.Unset, ended[0].Status().Code)
	require.Contains(t, ended[1].Attributes(), attribute.Int("http.response.status_code", 529))
	require.Equal(t, codes.Error, ended[1].Status().Code)
	for _, r := range upstream.Requests() {
		require.Empty(t, r.Header.Get("Traceparent"))
	}
}
