package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTracesAreOffByDefault(t *testing.T) {
	for name, c := range map[string]Traces{
		"no endpoint":           {},
		"disabled":              {Endpoint: "http://localhost:4318", Disabled: true},
		"exporter none":         {Endpoint: "http://localhost:4318", Exporter: "none"},
		"another protocol, off": {Protocol: "grpc"},
	} {
		require.False(t, c.Enabled(), name)
		require.NoError(t, c.validate(), name)
	}
	require.True(t, Traces{Endpoint: "http://localhost:4318"}.Enabled())
	require.True(t, Traces{TracesEndpoint: "http://localhost:4318"}.Enabled())
}

func TestUnsupportedTraceSettingsAreRefused(t *testing.T) {
	err := Traces{Endpoint: "http://localhost:4317", Protocol: "grpc", Exporter: "console"}.validate()
	require.ErrorContains(t, err, `OTEL_EXPORTER_OTLP_PROTOCOL (or ..._TRACES_PROTOCOL) must be http/protobuf, not "grpc"`)
	require.ErrorContains(t, err, `OTEL_TRACES_EXPORTER must be otlp or none, not "console"`)
	require.NoError(t, Traces{Endpoint: "http://localhost:4318", Protocol: "grpc", TracesProtocol: "http/protobuf"}.validate())
	for _, endpoint := range []string{":::::", "localhost:4318", "collector", "grpc://collector:4317", "http://"} {
		require.ErrorContains(t, Traces{Endpoint: endpoint}.validate(), "must be an http or https URL", endpoint)
	}
}
