package trace

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
)

const sampleTraceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceparentRoundTrip(t *testing.T) {
	state, err := trace.ParseTraceState("vendor=x")
	require.NoError(t, err)
	spanContext := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
	})
	traceparent := Traceparent(trace.ContextWithSpanContext(t.Context(), spanContext))
	require.Equal(t, spanContext.WithTraceState(trace.TraceState{}), trace.SpanContextFromContext(WithTraceparent(t.Context(), traceparent)))
	require.Empty(t, Traceparent(t.Context()))
}

func TestInvalidTraceparentIgnored(t *testing.T) {
	for name, traceparent := range map[string]string{
		"empty": "", "not hexadecimal": "00-zz-zz-zz", "zero trace ID": "00-00000000000000000000000000000000-b7ad6b7169203331-01", "too long": strings.Repeat(sampleTraceparent, 20),
	} {
		require.False(t, trace.SpanContextFromContext(WithTraceparent(t.Context(), traceparent)).IsValid(), name)
		require.Empty(t, links(traceparent), name)
	}
	valid := WithTraceparent(context.Background(), sampleTraceparent)
	require.Equal(t, sampleTraceparent, Traceparent(WithTraceparent(valid, "invalid")), "an earlier trace stays")
	require.Len(t, links(sampleTraceparent), 1)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", links(sampleTraceparent)[0].SpanContext.TraceID().String())
}

func links(traceparent string) []trace.Link {
	config := trace.NewSpanStartConfig(WithLinkTo(traceparent))
	return config.Links()
}
