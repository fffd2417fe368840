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
		ID: id.New(id.Batch), Tenant: "ada", AgentID: "agt", Total: total, Window: DefaultWindow,
		Limits: execution.Limits{Timeout: time.Minute}, CreatedAt: start, Due: &start,
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
	require.NoError(t, b.Cancel(start))
	require.Zero(t, b.Capacity(0, DefaultWindow))
	_, err := b.Dispatch(0, emptyInputs(1), start)
	require.ErrorIs(t, err, ErrConflict)
	b.FinishOrReschedule(1, start)
	require.Nil(t, b.FinishedAt, "one execution is in flight")
	b.FinishOrReschedule(0, start)
	require.NotNil(t, b.FinishedAt)
	require.ErrorIs(t, b.Cancel(start), execution.ErrTerminal)

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
	b.FinishOrReschedule(0, start)
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

// The shares of all batches of a tenant are equal, and their sum is the window.
func TestSharesDivideWindowEqually(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(1, 300).Draw(t, "window")
		active := make([]string, rapid.IntRange(1, window).Draw(t, "active")) // the store reads no more than the window
		for i := range active {
			active[i] = id.New(id.Batch)
		}
		sum, least, most := 0, window, 0
		for _, one := range active {
			b := newBatch(1)
			b.ID, b.Window = one, window
			share := b.Share(active)
			sum, least, most = sum+share, min(least, share), max(most, share)
		}
		require.Equal(t, window, sum)
		require.LessOrEqual(t, most-least, 1)
		require.Positive(t, least)
		extra := newBatch(1)
		require.Zero(t, extra.Share(active), "more batches than the window wait")
	})
}

// Two batch dispatchers dispatch a batch in random steps, while its executions end in any order. The executions in
// flight never exceed the window, and each input gets exactly one execution.
func TestDispatchNeverExceedsWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBatch(rapid.IntRange(1, 3*DefaultWindow).Draw(t, "total"))
		inFlight := map[string]bool{}
		created := 0
		for steps := 0; b.FinishedAt == nil; steps++ {
			require.Less(t, steps, 20*b.Total+20, "the batch does not finish")
			next, counted := b.NextInput, len(inFlight)
			for key := range inFlight { // some executions end after the count
				if rapid.Bool().Draw(t, "ends") {
					delete(inFlight, key)
				}
			}
			n := min(b.Capacity(counted, DefaultWindow), rapid.IntRange(1, DefaultWindow).Draw(t, "chunk"))
			if n == 0 {
				b.FinishOrReschedule(len(inFlight), start)
				continue
			}
			for range rapid.IntRange(1, 2).Draw(t, "dispatchers") { // the second one has the same count
				executions, err := b.Dispatch(next, emptyInputs(n), start)
				if err != nil {
					require.ErrorIs(t, err, ErrConflict)
					continue
				}
				for _, e := range executions {
					require.False(t, inFlight[e.ID], "created twice")
					inFlight[e.ID] = true
					created++
				}
			}
			require.LessOrEqual(t, len(inFlight), DefaultWindow)
		}
		require.Equal(t, b.Total, created)
		require.Empty(t, inFlight)
		require.Nil(t, b.Due)
	})
}
