package executor

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

func says(text string) []byte {
	return []byte(fmt.Sprintf(`{"type":"assistant","message":{"content":[{"type":"text","text":%q}]}}`+"\n", text))
}

// What an agent does is seen while it does it, without waiting for a heartbeat.
func TestStepsAreSeenWhileTheJobRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	goOn := make(chan struct{})
	b := newBox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		job.Heard(says("first"))
		<-goOn
		job.Heard(says("last"))
		return answer("done"), nil
	})
	w.run(unhurried(), b)
	ref := w.submit("offline", "x")
	next(t, b.started)
	require.Eventually(t, func() bool { return len(w.stored(ref).Steps) == 1 }, patience, reread)
	require.Equal(t, execution.Running, w.stored(ref).Status)
	close(goOn)
	e := w.await(ref, execution.Succeeded)
	require.Equal(t, []execution.Step{
		{Number: 1, Kind: execution.StepOutput, Text: "first"}, {Number: 2, Kind: execution.StepOutput, Text: "last"},
	}, e.Steps, "the end brings what was not written before")
}

func TestOnlyTheNewestStepsAreKept(t *testing.T) {
	asked := 0
	s := &steps{show: func() { asked++ }}
	for i := range 1000 {
		s.add(execution.StepOutput, fmt.Sprint(i+1))
	}
	kept, count := s.newest()
	require.Equal(t, 1000, count)
	require.Len(t, kept, execution.MaxSteps)
	require.Equal(t, execution.Step{Number: 1000, Kind: execution.StepOutput, Text: "1000"}, kept[len(kept)-1])
	require.Less(t, asked, 100, "a flood is not written at once")
}
