package executor

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// The tools of an agent are spans below the attempt, and those of a sub-agent below the tool that started it.
func TestToolSpans(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]bool{"with content": true, "without content": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			config, spans := tracedConfig()
			config.TraceContent = content
			stop := f.run(config, newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
				for _, line := range []string{
					`{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t1","name":"Task","input":{"prompt":"look"}}]}}`,
					`{"type":"assistant","parent_tool_use_id":"t1","message":{"content":[{"type":"tool_use","id":"t2","name":"Read","input":{"file_path":"a"}}]}}`,
					`{"type":"user","parent_tool_use_id":"t1","message":{"content":[{"type":"tool_result","tool_use_id":"t2","content":"no file","is_error":true}]}}`,
					`{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"looked"}]}}`,
					`{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t3","name":"Bash","input":{"command":"sleep 9"}}]}}`,
				} {
					job.OnStdout([]byte(line + "\n"))
				}
				return successOutcome("the answer"), nil
			}))
			f.await(f.submit("offline", "the question"), execution.Succeeded)
			stop()
			byName := map[string]sdk.ReadOnlySpan{}
			for _, s := range spans.Ended() {
				byName[s.Name()] = s
			}
			attempt, task, read, bash := byName["attempt"], byName["execute_tool Task"], byName["execute_tool Read"], byName["execute_tool Bash"]
			require.Equal(t, attempt.SpanContext().SpanID(), task.Parent().SpanID())
			require.Equal(t, task.SpanContext().SpanID(), read.Parent().SpanID())
			require.Equal(t, attempt.SpanContext().SpanID(), bash.Parent().SpanID(), "a call without a result")
			require.Equal(t, codes.Error, read.Status().Code)
			all := fmt.Sprint(attempt.Attributes(), task.Attributes(), read.Attributes(), bash.Attributes())
			require.Contains(t, all, "invoke_agent")
			for _, text := range []string{"the question", "the answer", "sleep 9", "looked", "no file"} {
				if content {
					require.Contains(t, all, text)
				} else {
					require.NotContains(t, all, text)
				}
			}
		})
	}
}
