package trace

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// header is W3C's, by which one process tells another of the span that it works for.
const traceparentHeader = "traceparent"

// Parent is the traceparent of ctx, for who goes on with its trace later, or
// elsewhere; empty where there is none. A tracestate is not passed on.
func Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparentHeader]
}

// Join is ctx as part of the trace that a traceparent names; ctx where it names none.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparentHeader: traceparent})
}

// Link makes a new span point at the one that a traceparent names, which led to
// it but is not what it is part of; nothing where it names none.
func WithLinkTo(traceparent string) trace.SpanStartOption {
	spanContext := trace.SpanContextFromContext(WithTraceparent(context.Background(), traceparent))
	if !spanContext.IsValid() {
		return trace.WithLinks()
	}
	return trace.WithLinks(trace.Link{SpanContext: spanContext})
}
