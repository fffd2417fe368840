// Package trace sends spans to an OpenTelemetry collector, where the standard
// OTEL_ variables name one. The parts make their spans with the provider that
// they are given, and below a span with that span's own; otel's global one stays
// unset, or Google's clients would add a span for every poll and heartbeat.
package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
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

// scope is whose spans they are, as OpenTelemetry asks for it.
const instrumentationScope = "github.com/airlock-run/airlock"

// flushTimeout bounds what a process waits at its end for the collector.
const flushTimeout = 3 * time.Second

// Settings are those of OpenTelemetry's variables that say whether, and how,
// spans are sent. The SDK reads the others itself: headers, certificates, time-outs,
// the sampler, the size of batches, the service's name.
type Settings struct {
	// Endpoint is the collector's URL, such as http://localhost:4318. Without one, or TracesEndpoint, nothing is traced.
	Endpoint       string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	TracesEndpoint string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"`
	// Protocol can only be http/protobuf, the default.
	Protocol       string `env:"OTEL_EXPORTER_OTLP_PROTOCOL"`
	TracesProtocol string `env:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"`
	// Exporter is otlp, the default, or none to trace nothing.
	Exporter string `env:"OTEL_TRACES_EXPORTER"`
	// Disabled traces nothing.
	Disabled bool `env:"OTEL_SDK_DISABLED"`
}

// on says whether anything is traced.
func (s Settings) enabled() bool {
	return (s.Endpoint != "" || s.TracesEndpoint != "") && !s.Disabled && s.Exporter != "none"
}

// Check says what of the settings is not supported.
func (s Settings) Validate() error {
	if !s.enabled() {
		return nil
	}
	var errs []error
	if s.Exporter != "" && s.Exporter != "otlp" {
		errs = append(errs, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, not %q", s.Exporter))
	}
	if protocol := cmp.Or(s.TracesProtocol, s.Protocol); protocol != "" && protocol != "http/protobuf" {
		errs = append(errs, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL (or ..._TRACES_PROTOCOL) must be http/protobuf, not %q", protocol))
	}
	// The exporter would go to localhost instead.
	endpoint := cmp.Or(s.TracesEndpoint, s.Endpoint)
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) must be an http or https URL, not %q", endpoint))
	}
	return errors.Join(errs...)
}

// Start returns where a service's spans go, and what sends the last of them
// within flushTimeout. A collector that cannot be reached is logged; nothing else
// waits for it.
func Start(ctx context.Context, s Settings, service, version string, log *zap.Logger) (trace.Tracer, func(), error) {
	if !s.enabled() {
		return Noop, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("trace: %w", err)
	}
	// What the environment says of the service goes before what it says of itself.
	res, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName(service), semconv.ServiceVersion(version)),
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

// Off traces nothing.
var Noop trace.Tracer = noop.Tracer{}

// Child begins a span below that of ctx, and with its tracer: without one there
// it is nothing.
func StartChild(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(instrumentationScope).Start(ctx, name, opts...)
}

// ID is the log's key of the trace that ctx belongs to; nothing where there is none.
func LogField(ctx context.Context) zap.Field {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		return zap.Stringer("trace", span.TraceID())
	}
	return zap.Skip()
}
