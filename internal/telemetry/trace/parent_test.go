package trace

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestATraceIsJoinedByWhatParentSaysOfIt(t *testing.T) {
	state, err := trace.ParseTraceState("vendor=x")
	require.NoError(t, err)
	told := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
	})
	said := Parent(trace.ContextWithSpanContext(t.Context(), told))
	require.Equal(t, told.WithTraceState(trace.TraceState{}), trace.SpanContextFromContext(Join(t.Context(), said)))
	require.Empty(t, Parent(t.Context()))
}

func TestRubbishIsNoTrace(t *testing.T) {
	for name, said := range map[string]string{
		"nothing": "", "rubbish": "00-zz-zz-zz", "an empty ID": "00-00000000000000000000000000000000-b7ad6b7169203331-01", "much too long": strings.Repeat(parent, 20),
	} {
		require.False(t, trace.SpanContextFromContext(Join(t.Context(), said)).IsValid(), name)
		require.Empty(t, links(said), name)
	}
	mine := Join(context.Background(), parent)
	require.Equal(t, parent, Parent(Join(mine, "rubbish")), "what is there already stays")
	require.Len(t, links(parent), 1)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", links(parent)[0].SpanContext.TraceID().String())
}

func links(said string) []trace.Link {
	config := trace.NewSpanStartConfig(Link(said))
	return config.Links()
}
