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

// Steps are written without waiting for the next heartbeat.
func TestStepsVisibleWhileJobRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	resume := make(chan struct{})
	b := newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		job.OnStdout(assistantMessage("first"))
		<-resume
		job.OnStdout(assistantMessage("last"))
		return successOutcome("done"), nil
	})
	f.run(testConfig(), b)
	ref := f.submit("offline", "x")
	next(t, b.started)
	require.Eventually(t, func() bool { return len(f.stored(ref).Steps) == 1 }, waitTimeout, pollInterval)
	require.Equal(t, execution.Running, f.stored(ref).Status)
	close(resume)
	e := f.await(ref, execution.Succeeded)
	require.Equal(t, []execution.Step{
		{Number: 1, Kind: execution.StepOutput, Text: "first"}, {Number: 2, Kind: execution.StepOutput, Text: "last"},
	}, e.Steps, "the result contains the steps that were not written before")
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
	require.Less(t, notified, 100, "a flood of steps does not cause a flood of writes")
}
