package agentruntime_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// A job waits longer for a busy provider than its time-out allows it to run. That costs it nothing, and it says so.
func TestClaudeWaitsForBusyProvider(t *testing.T) {
	t.Parallel()
	busy := modelstub.Raw(529, http.Header{"Retry-After": {"4"}}, `{"type":"error","error":{"type":"overloaded_error","message":"busy"}}`)
	h := newClaudeHarness(t, modelstub.Sequence(busy, busy, busy, modelstub.Reset(), modelstub.Text("hello")),
		func(s *gateway.Config) { s.MaxWait = time.Hour })
	h.timeout = 10 * time.Second
	var mu sync.Mutex
	var steps []string
	h.onItem = func(i transcript.Item) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, i.Text)
	}
	run, result := h.mustRun(execution.Task{Input: "hello"})
	require.Equal(t, "hello", result.Text)
	require.Len(t, h.modelRequests(), 5)
	usage := run.Usage()
	require.EqualValues(t, 1, usage.Calls, "the CLI has noticed nothing")
	require.EqualValues(t, 120, usage.InputTokens+usage.OutputTokens)
	require.Greater(t, usage.ModelWait, 12*time.Second)
	require.True(t, slices.Contains(steps, "the model is busy (status 529), next try in 4 s"), steps)
}

// When the limit of waiting is reached the CLI has the provider's answer, and does not try again by itself.
func TestClaudeGivesUpWithGateway(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]modelstub.Response{
		"429":   modelstub.Status(http.StatusTooManyRequests, "rate_limit_error", "slow"),
		"500":   modelstub.Status(http.StatusInternalServerError, "api_error", "oops"),
		"529":   modelstub.Status(529, "overloaded_error", "busy"),
		"reset": modelstub.Reset(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newClaudeHarness(t, modelstub.Sequence(answer),
				func(s *gateway.Config) { s.MaxWait, s.Backoff = time.Second, 100*time.Millisecond })
			run, _, failure := h.run(execution.Task{Input: "hello"})
			require.NotNil(t, failure)
			require.Equal(t, execution.CodeModelError, failure.Code)
			require.Contains(t, failure.Message, "Airlock waited for it for 1s")
			require.EqualValues(t, 1, run.Usage().Calls)
		})
	}
}
