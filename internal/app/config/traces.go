package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
)

// Traces are OpenTelemetry's variables that decide whether spans are sent, and how. OpenTelemetry's SDK reads the
// others itself: headers, certificates, time-outs, the sampler, the size of batches, the service's name.
type Traces struct {
	// Endpoint is the collector's URL, such as http://localhost:4318. Without it and TracesEndpoint no spans are sent.
	Endpoint       string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	TracesEndpoint string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"`
	// Protocol can only be http/protobuf, the default.
	Protocol       string `env:"OTEL_EXPORTER_OTLP_PROTOCOL"`
	TracesProtocol string `env:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"`
	// Exporter is otlp, the default, or none: no spans are sent.
	Exporter string `env:"OTEL_TRACES_EXPORTER"`
	// Disabled sends no spans.
	Disabled bool `env:"OTEL_SDK_DISABLED"`
	// Content adds what agents are asked, say and do to the spans of an executor.
	Content bool `env:"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"`
}

// Enabled reports whether spans are sent.
func (t Traces) Enabled() bool {
	return (t.Endpoint != "" || t.TracesEndpoint != "") && !t.Disabled && t.Exporter != "none"
}

// validate reports values that OpenTelemetry knows and Airlock does not support.
func (t Traces) validate() error {
	if !t.Enabled() {
		return nil
	}
	var errs []error
	if t.Exporter != "" && t.Exporter != "otlp" {
		errs = append(errs, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, not %q", t.Exporter))
	}
	if protocol := cmp.Or(t.TracesProtocol, t.Protocol); protocol != "" && protocol != "http/protobuf" {
		errs = append(errs, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL (or ..._TRACES_PROTOCOL) must be http/protobuf, not %q", protocol))
	}
	// With a wrong URL the exporter would send to localhost.
	endpoint := cmp.Or(t.TracesEndpoint, t.Endpoint)
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		errs = append(errs, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) must be an http or https URL, not %q", endpoint))
	}
	return errors.Join(errs...)
}
