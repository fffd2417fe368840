package executor

import (
	"context"
	"encoding/json"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// maxOpenTools bounds the tool calls of an attempt whose result is awaited at the same time.
const maxOpenTools = 256

// agentSpans adds what the agent does to the span of its attempt, by OpenTelemetry's conventions for generative AI: a
// span for each tool call, below that of the sub-agent which made it. They contain what the agent says, and the inputs
// and results of its tools, only if content is set. It is safe for concurrent use.
type agentSpans struct {
	ctx     context.Context //nolint:containedctx // of the attempt's span
	content bool

	mu   sync.Mutex
	open map[string]oteltrace.Span // of tool calls, by the ID of the call
}

func newAgentSpans(ctx context.Context, content bool) *agentSpans {
	return &agentSpans{ctx: ctx, content: content, open: map[string]oteltrace.Span{}}
}

// record begins or ends the span of a tool call.
func (s *agentSpans) record(i transcript.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch i.Kind { //nolint:exhaustive // the others are no tool calls
	case transcript.KindToolCall:
		if len(s.open) >= maxOpenTools || i.Call == "" {
			return
		}
		parent := s.ctx
		if span, ok := s.open[i.Parent]; ok {
			parent = oteltrace.ContextWithSpan(parent, span)
		}
		_, span := trace.StartChild(parent, "execute_tool "+i.Tool, oteltrace.WithAttributes(
			attribute.String("gen_ai.operation.name", "execute_tool"), attribute.String("gen_ai.tool.name", i.Tool),
			attribute.String("gen_ai.tool.call.id", i.Call)))
		s.setContent(span, "gen_ai.tool.call.arguments", string(i.Input))
		s.open[i.Call] = span
	case transcript.KindToolResult:
		span, ok := s.open[i.Call]
		if !ok {
			return
		}
		delete(s.open, i.Call)
		s.setContent(span, "gen_ai.tool.call.result", i.Text)
		if i.IsError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// end ends the spans of the calls that have no result, and adds to the attempt's span what it was asked and has
// answered.
func (s *agentSpans) end(e *execution.Execution, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for call, span := range s.open {
		span.End()
		delete(s.open, call)
	}
	span := oteltrace.SpanFromContext(s.ctx)
	s.setContent(span, "gen_ai.input.messages", genAIMessage("user", e.Task.Input))
	s.setContent(span, "gen_ai.output.messages", genAIMessage("assistant", answer))
}

// setContent sets an attribute with a text of the tenant or the agent.
func (s *agentSpans) setContent(span oteltrace.Span, name, text string) {
	if s.content && text != "" {
		text = transcript.Mask(text)
		span.SetAttributes(attribute.String(name, execution.TruncateText(text, transcript.MaxFieldBytes)))
	}
}

// genAIMessage returns one message in the JSON of OpenTelemetry's conventions; empty if the text is.
func genAIMessage(role, text string) string {
	if text == "" {
		return ""
	}
	encoded, err := json.Marshal([]any{map[string]any{
		"role": role, "parts": []any{map[string]string{"type": "text", "content": execution.TruncateText(text, transcript.MaxFieldBytes/2)}},
	}})
	if err != nil {
		return ""
	}
	return string(encoded)
}
