package e2e

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/telemetry/trace/tracetest"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// One POST gives one trace, which continues the caller's: the request, the attempt
// in the executor, its steps, and the agent's calls of the model.
func TestTraceSpansRequestToModel(t *testing.T) {
	collector := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	model := modelstub.Start(modelstub.Always(modelstub.Text("a secret answer")))
	t.Cleanup(model.Close)
	a := start(t, withClaude(model), func(d *dev.Config) { require.Equal(t, collector.URL, d.API.Traces.Endpoint) })
	agent := a.createAgent(contract.CreateAgent{Name: "Claude", Instructions: "a secret instruction"})

	const caller = "0af7651916cd43dd8448eb211c80319c"
	header := http.Header{"Content-Type": {"application/json"}, "Traceparent": {"00-" + caller + "-b7ad6b7169203331-01"}}
	got := a.doWithHeader(http.MethodPost, "/agents/"+agent.Id+"/run", header, []byte(`{"input":"a secret question"}`))
	require.Equal(t, http.StatusAccepted, got.StatusCode)
	var accepted contract.AcceptedExecution
	require.NoError(t, json.Unmarshal(got.body, &accepted))
	e := a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	a.stop() // exports the last spans

	var spans []tracetest.Span
	for _, s := range collector.Spans() {
		require.NotContains(t, s.String(), "secret")
		require.NotContains(t, s.Name, "/healthz")
		require.NotContains(t, s.Name, "/readyz")
		if hex.EncodeToString(s.TraceId) == caller {
			spans = append(spans, s)
		}
	}
	tree := spanTree(spans, "b7ad6b7169203331", "")
	require.Equal(t, strings.Join([]string{
		"airlock-api POST /agents/:id/run",
		"  airlock-executor attempt",
		"    airlock-executor claim",
		"    airlock-executor sandbox.create",
		"    airlock-executor sandbox.dispatch",
		"    airlock-executor agent",
		"    airlock-executor chat claude-sonnet-4-6",
		"    airlock-executor result",
		"    airlock-executor finish",
	}, "\n"), strings.Join(tree, "\n"))

	attempt := spans[slices.IndexFunc(spans, func(s tracetest.Span) bool { return s.Name == "attempt" })].Attributes()
	require.Equal(t, e.Id, attempt["airlock.execution"].GetStringValue())
	require.Equal(t, int64(1), attempt["airlock.attempt"].GetIntValue())
	require.Equal(t, "succeeded", attempt["airlock.status"].GetStringValue())
	call := spans[slices.IndexFunc(spans, func(s tracetest.Span) bool { return strings.HasPrefix(s.Name, "chat ") })].Attributes()
	require.Equal(t, "chat", call["gen_ai.operation.name"].GetStringValue())
	require.Equal(t, "anthropic", call["gen_ai.provider.name"].GetStringValue())
	require.NotEmpty(t, call["gen_ai.request.model"].GetStringValue())
	require.Positive(t, call["gen_ai.usage.output_tokens"].GetIntValue())
	require.Equal(t, int64(http.StatusOK), call["http.response.status_code"].GetIntValue())
}

// With tracing disabled, an execution runs and no span is exported.
func TestTracingDisabled(t *testing.T) {
	collector := tracetest.Start(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_SDK_DISABLED", "true")
	a := start(t)
	agent := a.createAgent(contract.CreateAgent{Name: "Offline", Instructions: "repeat"})
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(a.runAgent(agent.Id, "x").ExecutionId).Status)
	a.stop()
	require.Empty(t, collector.Spans())
}

// spanTree returns the spans below a parent, in the order of their starts.
func spanTree(spans []tracetest.Span, parent, indent string) (lines []string) {
	slices.SortFunc(spans, func(a, b tracetest.Span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	for _, s := range spans {
		if hex.EncodeToString(s.ParentSpanId) == parent {
			lines = append(lines, indent+s.Service+" "+s.Name)
			lines = append(lines, spanTree(spans, hex.EncodeToString(s.SpanId), indent+"  ")...)
		}
	}
	return lines
}
