package gateway

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// startSpan starts the span of one call, as a child of the span in which the endpoint was opened, by OpenTelemetry's
// conventions for generative AI. It records no text of the request, and the provider does not receive the trace
// context.
func (e *Endpoint) startSpan(r requestInfo) oteltrace.Span {
	_, span := trace.StartChild(e.ctx, "chat "+r.model, oteltrace.WithSpanKind(oteltrace.SpanKindClient), oteltrace.WithAttributes(
		attribute.String("gen_ai.operation.name", "chat"), attribute.String("gen_ai.provider.name", e.gateway.spec.provider),
		attribute.String("gen_ai.request.model", r.model), semconv.ServerAddress(e.gateway.config.Upstream.Hostname())))
	return span
}

// endSpan records the outcome of the call. Every status except 200 is an error.
func endSpan(span oteltrace.Span, rec *accessRecord) {
	t := rec.usage.tokens
	span.SetAttributes(
		semconv.HTTPResponseStatusCode(rec.usage.status),
		attribute.Int64("gen_ai.usage.input_tokens", t.Total()-t.Output), attribute.Int64("gen_ai.usage.output_tokens", t.Output),
		attribute.Float64("airlock.cost_usd", rec.cost))
	if rec.usage.model != "" {
		span.SetAttributes(attribute.String("gen_ai.response.model", rec.usage.model))
	}
	if rec.usage.status != http.StatusOK {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
