package agentruntime_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

const announcement = "I will write the report now."

// withShortStalls makes the gateway end a stalled stream soon. The CLI itself waits some 300 seconds.
func withShortStalls(s *gateway.Config) { s.IdleTimeout = 500 * time.Millisecond }

// The CLI repeats a request whose stream ended before its last event, whatever ended it. What the model had said until
// then is no result.
func TestClaudeRecoversFromCutStream(t *testing.T) {
	t.Parallel()
	thinking := modelstub.Text(announcement).Thinking("What do I know?")
	for name, first := range map[string]modelstub.Response{
		"stalls in the text":                   modelstub.Stall(announcement),
		"resets in the text":                   modelstub.ResetMidStream(announcement),
		"stops in the text":                    modelstub.Text(announcement).EndingAfter(0, modelstub.Stops),
		"stalls after the thinking":            thinking.EndingAfter(1, modelstub.Silent),
		"resets after the thinking":            thinking.EndingAfter(1, modelstub.Breaks),
		"stops after the thinking":             thinking.EndingAfter(1, modelstub.Stops),
		"stalls after the text":                modelstub.Text(announcement).EndingAfter(1, modelstub.Silent),
		"resets after the text":                modelstub.Text(announcement).EndingAfter(1, modelstub.Breaks),
		"stops after the text":                 modelstub.Text(announcement).EndingAfter(1, modelstub.Stops),
		"stops before the input of a tool use": modelstub.ToolUse("Bash", map[string]string{"command": "true"}).EndingAfter(0, modelstub.Stops),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newClaudeHarness(t, modelstub.Sequence(first, modelstub.Text("the report")), withShortStalls)
			run, result := h.mustRun(execution.Task{Input: "write a report"})
			require.Equal(t, "the report", result.Text)
			require.Len(t, h.modelRequests(), 2)
			require.EqualValues(t, 2, run.Usage().Calls)
			require.EqualValues(t, 1, run.Usage().EstimatedCalls)
		})
	}
}
