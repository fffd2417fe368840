package trace

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traceparentHeader is the header of the W3C Trace Context standard.
const traceparentHeader = "traceparent"

// Traceparent returns the traceparent of ctx, so that another process can continue its trace later. It is empty if ctx
// has no trace. The tracestate is dropped.
func Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparentHeader]
}

// WithTraceparent returns ctx as part of the trace that a traceparent names. An invalid traceparent changes nothing.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparentHeader: traceparent})
}

// WithLinkTo links a new span to the span that a traceparent names: that span is a cause of the new one, but in another
// trace. An invalid traceparent adds no link.
func WithLinkTo(traceparent string) trace.SpanStartOption {
	spanContext := trace.SpanContextFromContext(WithTraceparent(context.Background(), traceparent))
	if !spanContext.IsValid() {
		return trace.WithLinks()
	}
	return trace.WithLinks(trace.Link{SpanContext: spanContext})
}
