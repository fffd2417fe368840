package batch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newBatch(total int) Batch {
	return Batch{
		ID: id.New(id.Batch), Tenant: "ada", AgentID: "agt", Total: total,
		Limits: execution.Limits{Timeout: time.Minute}, CreatedAt: start,
	}
}

func emptyInputs(n int) []Input {
	return make([]Input, n)
}

func TestExecutionIDIsDeterministicAndUnique(t *testing.T) {
	b, other := newBatch(1000), newBatch(1000)
	seen := map[string]bool{}
	for i := range 1000 {
		one := b.ExecutionID(i)
		require.True(t, id.Valid(id.Execution, one))
		require.Equal(t, one, b.ExecutionID(i))
		require.NotEqual(t, one, other.ExecutionID(i))
		require.False(t, seen[one])
		seen[one] = true
	}
}

func TestDispatchCreatesExecutions(t *testing.T) {
	b := newBatch(3)
	b.Task = execution.Task{Runtime: "offline", Instructions: "Count"}
	executions, err := b.Dispatch(0, []Input{{Text: "one"}, {Text: "two", RetryOf: "exe_before"}}, start)
	require.NoError(t, err)
	require.Len(t, executions, 2)
	require.Equal(t, 2, b.NextInput)
	for i, e := range executions {
		require.Equal(t, b.ExecutionID(i), e.ID)
		require.Equal(t, b.ID, e.BatchID)
		require.Equal(t, execution.Queued, e.Status)
		require.Equal(t, execution.LaneBatch, e.Lane)
		require.Equal(t, "Count", e.Task.Instructions)
	}
	require.Equal(t, "two", executions[1].Task.Input)
	require.Equal(t, "exe_before", executions[1].RetryOf)

	_, err = b.Dispatch(0, []Input{{Text: "one"}}, start)
	require.ErrorIs(t, err, ErrConflict, "the batch was dispatched since the number of inputs was decided")
}

func TestCanceledBatchIsNotDispatched(t *testing.T) {
	b := newBatch(3)
	require.NoError(t, b.Cancel())
	require.True(t, b.Exhausted())
	_, err := b.Dispatch(0, emptyInputs(1), start)
	require.ErrorIs(t, err, ErrConflict)
	b.FinishIfDone(1, start)
	require.Nil(t, b.FinishedAt, "one execution is in flight")
	b.FinishIfDone(0, start)
	require.NotNil(t, b.FinishedAt)
	require.ErrorIs(t, b.Cancel(), execution.ErrTerminal)

	counts := map[execution.Status]int{}
	p := b.Progress(counts, 0, start)
	require.Equal(t, 3, p.ByStatus[execution.Canceled])
	require.Zero(t, p.Pending)
	require.Empty(t, counts, "the caller's map does not change")
}

func TestSkippedInputsAreMissing(t *testing.T) {
	b := newBatch(10)
	b.Skip(0)
	require.Zero(t, b.LostInputs)
	b.Skip(3)
	_, err := b.Dispatch(3, emptyInputs(4), start)
	require.NoError(t, err)
	p := b.Progress(map[execution.Status]int{execution.Running: 3}, 0, start)
	require.Equal(t, 3, p.Missing, "an execution that changes its status during the count is not missing")
	require.Equal(t, 3, p.Pending)

	b.Skip(10)
	b.FinishIfDone(0, start)
	require.NotNil(t, b.FinishedAt)
	p = b.Progress(map[execution.Status]int{execution.Succeeded: 4}, 0, start)
	require.Equal(t, 6, p.Missing)
	p = b.Progress(map[execution.Status]int{execution.Succeeded: 1}, 0, start)
	require.Equal(t, 9, p.Missing, "three executions were deleted")
}

func TestProgressEstimatesRemainingTime(t *testing.T) {
	b := newBatch(100)
	b.NextInput = 30
	counts := map[execution.Status]int{execution.Succeeded: 20, execution.Failed: 5, execution.Running: 5}
	p := b.Progress(counts, 1.5, start.Add(50*time.Second))
	require.Equal(t, 70, p.Pending)
	require.Equal(t, 150*time.Second, p.EstimatedRemaining, "25 took 50 s, 75 remain")
	require.Zero(t, b.Progress(map[execution.Status]int{}, 0, start).EstimatedRemaining, "nothing to estimate from")
}

// Two dispatchers dispatch a batch in random steps, while its executions end in any order. Each input gets exactly one
// execution, and the batch ends only after the last of them.
func TestEachInputGetsOneExecution(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBatch(rapid.IntRange(1, 600).Draw(t, "total"))
		inFlight := map[string]bool{}
		created := 0
		for steps := 0; b.FinishedAt == nil; steps++ {
			require.Less(t, steps, 20*b.Total+20, "the batch does not finish")
			next := b.NextInput
			for key := range inFlight {
				if rapid.Bool().Draw(t, "ends") {
					delete(inFlight, key)
				}
			}
			n := min(b.Total-b.NextInput, rapid.IntRange(1, 256).Draw(t, "chunk"))
			if n == 0 {
				b.FinishIfDone(len(inFlight), start)
				continue
			}
			for range rapid.IntRange(1, 2).Draw(t, "dispatchers") { // the second one has read the same inputs
				executions, err := b.Dispatch(next, emptyInputs(n), start)
				if err != nil {
					require.ErrorIs(t, err, ErrConflict)
					continue
				}
				for _, e := range executions {
					require.False(t, inFlight[e.ID], "created twice")
					require.Equal(t, e.StartDeadline(), *e.Due, "nobody looks at it before the dispatcher publishes it")
					inFlight[e.ID] = true
					created++
				}
			}
		}
		require.Equal(t, b.Total, created)
		require.Empty(t, inFlight)
	})
}
