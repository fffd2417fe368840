package executor

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

func assistantMessage(text string) []byte {
	return []byte(fmt.Sprintf(`{"type":"assistant","message":{"content":[{"type":"text","text":%q}]}}`+"\n", text))
}

// What an agent does is seen while it does it, without waiting for a heartbeat.
func TestStepsVisibleWhileJobRuns(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	resume := make(chan struct{})
	b := newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		job.OnStdout(assistantMessage("first"))
		<-resume
		job.OnStdout(assistantMessage("last"))
		return successOutcome("done"), nil
	})
	w.run(testConfig(), b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	require.Eventually(t, func() bool { return len(w.stored(ref).Steps) == 1 }, waitTimeout, pollInterval)
	require.Equal(t, execution.Running, w.stored(ref).Status)
	close(resume)
	e := w.await(ref, execution.Succeeded)
	require.Equal(t, []execution.Step{
		{Number: 1, Kind: execution.StepOutput, Text: "first"}, {Number: 2, Kind: execution.StepOutput, Text: "last"},
	}, e.Steps, "the end brings what was not written before")
}

func TestStepBufferKeepsNewestSteps(t *testing.T) {
	notified := 0
	s := &stepBuffer{notify: func() { notified++ }}
	for i := range 1000 {
		s.add(execution.StepOutput, fmt.Sprint(i+1))
	}
	recent, total := s.snapshot()
	require.Equal(t, 1000, total)
	require.Len(t, recent, execution.MaxSteps)
	require.Equal(t, execution.Step{Number: 1000, Kind: execution.StepOutput, Text: "1000"}, recent[len(recent)-1])
	require.Less(t, notified, 100, "a flood is not written at once")
}
