package execution

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Each pause is at most twice the one before it, up to a minute, and at least half of that.
func TestPausesGrowAndDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := queued()
		e.Attempt = rapid.IntRange(1, 20).Draw(t, "attempt")
		n := rapid.IntRange(1, 20).Draw(t, "n")
		most := min(minPause<<min(n-1, 10), maxPause)
		require.LessOrEqual(t, e.pause(n), most)
		require.Greater(t, e.pause(n), most/2)
		require.Equal(t, e.pause(n), e.pause(n), "a repeated transition has the same outcome")
	})
	spread := map[time.Duration]bool{}
	for range 100 {
		e := New("ada", KindRun, Task{}, Limits{}, start)
		e.Attempt = 1
		spread[e.pause(1).Round(100*time.Millisecond)] = true
	}
	require.Greater(t, len(spread), 5, "what fails together comes back apart")
}

// The two sorts of failure are counted apart: neither uses up the other's attempts.
func TestAJobsOwnFailuresAreCountedApart(t *testing.T) {
	e := New("ada", KindRun, Task{}, Limits{Timeout: time.Minute, Retry: agent.Retry{MaxAttempts: 3}}, start)
	now := start
	attempt := func(ev func(n int) Event) {
		t.Helper()
		now = now.Add(time.Minute)
		require.NoError(t, e.Apply(Claimed{Executor: "x1", Lease: time.Minute}, now))
		require.NoError(t, e.Apply(ev(e.Attempt), now))
	}
	broke := func(n int) Event { return Broke{Attempt: n, Usage: Usage{Calls: 1}} }
	failed := func(n int) Event {
		return Finished{n, (&Failure{Code: CodeAgentError}).Ends(Usage{Calls: 1})}
	}
	attempt(broke)
	attempt(failed)
	attempt(broke)
	attempt(failed)
	require.Equal(t, Queued, e.Status)
	require.Nil(t, e.Failure)
	attempt(failed)
	require.Equal(t, Failed, e.Status)
	require.Equal(t, CodeAgentError, e.Failure.Code)
	require.Equal(t, []int{5, 2, 3}, []int{e.Attempt, e.Spent, e.Tries})
	require.EqualValues(t, 5, e.Usage.Calls, "trying again is not free")
}

func TestWhatMayPass(t *testing.T) {
	pass := map[Code]bool{
		CodeAgentError: true, CodeInvalidResult: true, CodeModelError: true, CodeOutOfMemory: true, CodeOutputLimit: true, CodeTimedOut: true,
		CodeBudgetExceeded: false, CodeCanceled: false, CodeInvalidTask: false, CodeUnknownRuntime: false, CodeModelNotAllowed: false,
	}
	for code, want := range pass {
		require.Equal(t, want, code.mayPass(), code)
	}
}
