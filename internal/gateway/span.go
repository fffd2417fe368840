package gateway

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// startSpan begins the span of one call, below the one that the session was made
// in. Nothing that was said is in it, and the provider is not told of the trace.
func (s *Session) startSpan(a requestInfo) oteltrace.Span {
	_, span := trace.StartChild(s.ctx, "model call", oteltrace.WithSpanKind(oteltrace.SpanKindClient), oteltrace.WithAttributes(
		attribute.String("gen_ai.request.model", a.model), semconv.ServerAddress(s.gateway.settings.Upstream.Hostname())))
	return span
}

// endSpan says what came of the call. An error is everything but a good answer.
func endSpan(span oteltrace.Span, rec *accessRecord) {
	t := rec.usage.tokens
	span.SetAttributes(
		semconv.HTTPResponseStatusCode(rec.usage.status),
		attribute.Int64("gen_ai.usage.input_tokens", t.Total()-t.Output), attribute.Int64("gen_ai.usage.output_tokens", t.Output),
		attribute.Float64("airlock.cost_usd", rec.cost))
	if rec.usage.status != http.StatusOK {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
