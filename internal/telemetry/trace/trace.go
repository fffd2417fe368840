// Package trace sends spans to an OpenTelemetry collector that the standard OTEL_ variables name.
//
// In: the name of the service. Out: the tracer that services pass to their parts. A child span uses the tracer of its
// parent. The package never sets OpenTelemetry's global tracer: with it, Google's clients would add a span for every
// poll and every heartbeat.
package trace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// instrumentationScope names the code that makes the spans, as OpenTelemetry requires.
const instrumentationScope = "github.com/airlock-run/airlock"

// flushTimeout bounds how long a process waits for the collector when it stops.
const flushTimeout = 3 * time.Second

// Config says whose spans are sent.
type Config struct {
	Enabled bool   // whether spans are sent at all; the SDK reads from the environment where to
	Service string // name of the program, unless OTEL_SERVICE_NAME is set
	Version string
}

// Start returns the tracer of a program, and a function that sends the last spans within flushTimeout. A collector that
// does not answer is logged; nothing else waits for it.
func Start(ctx context.Context, c Config, log *zap.Logger) (trace.Tracer, func(), error) {
	if !c.Enabled {
		return Noop, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("trace: %w", err)
	}
	// The environment's attributes of the service override the program's own.
	res, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName(c.Service), semconv.ServiceVersion(c.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("trace: %w", err), exporter.Shutdown(ctx))
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("could not send spans", zap.Error(err)) }))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(res))
	return provider.Tracer(instrumentationScope), func() {
		flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(flushCtx); err != nil {
			log.Warn("could not send the last spans", zap.Error(err))
		}
	}, nil
}

// Noop is a tracer that sends nothing.
var Noop trace.Tracer = noop.Tracer{}

// StartChild starts a child of the span of ctx, with the tracer of that span. Without such a span it does nothing.
func StartChild(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(instrumentationScope).Start(ctx, name, opts...)
}

// LogField returns the log field with the ID of the trace of ctx. Without a trace it adds nothing to the log.
func LogField(ctx context.Context) zap.Field {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		return zap.Stringer("trace", span.TraceID())
	}
	return zap.Skip()
}
