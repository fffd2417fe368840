package execution

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// The limit doubles with each failure, up to a minute. Each wait is above half of the limit.
func TestRetryBackoffGrowsWithJitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := queued()
		e.Attempt = rapid.IntRange(1, 20).Draw(t, "attempt")
		n := rapid.IntRange(1, 20).Draw(t, "n")
		limit := min(minBackoff<<min(n-1, 10), maxBackoff)
		require.LessOrEqual(t, e.retryBackoff(n), limit)
		require.Greater(t, e.retryBackoff(n), limit/2)
		require.Equal(t, e.retryBackoff(n), e.retryBackoff(n), "a repeated transaction gets the same wait")
	})
	spread := map[time.Duration]bool{}
	for range 100 {
		e := New(Spec{Tenant: "ada", Kind: KindRun}, start)
		e.Attempt = 1
		spread[e.retryBackoff(1).Round(100*time.Millisecond)] = true
	}
	require.Greater(t, len(spread), 5, "executions that fail together wait for different times")
}

// Failures of the job and of Airlock are counted separately: neither uses the attempts of the other.
func TestJobAndInfrastructureFailuresAreCountedSeparately(t *testing.T) {
	e := New(Spec{Tenant: "ada", Kind: KindRun, Limits: Limits{Timeout: time.Minute, RetryPolicy: agent.RetryPolicy{MaxAttempts: 3}}}, start)
	now := start
	attempt := func(ev func(n int) Event) {
		t.Helper()
		now = now.Add(time.Minute)
		require.NoError(t, e.Apply(Claimed{Executor: "x1", Session: session}, now))
		require.NoError(t, e.Apply(ev(e.Attempt), now))
	}
	attemptFailed := func(n int) Event {
		return AttemptFailed{Session: session, Attempt: n, Usage: Usage{Calls: 1, Model: "m"}}
	}
	jobFailed := func(n int) Event {
		return JobEnded{session, n, (&Failure{Code: CodeAgentError}).Ending(Usage{Calls: 1})}
	}
	attempt(attemptFailed)
	attempt(jobFailed)
	attempt(attemptFailed)
	attempt(jobFailed)
	require.Equal(t, Queued, e.Status)
	require.Nil(t, e.Failure)
	attempt(jobFailed)
	require.Equal(t, Failed, e.Status)
	require.Equal(t, CodeAgentError, e.Failure.Code)
	require.Equal(t, []int{5, 2, 3}, []int{e.Attempt, e.FailedAttempts, e.RetriedFailures})
	require.Equal(t, Usage{Calls: 5, Model: "m"}, e.Usage, "the usage of all attempts counts")
}

func TestRetryableCodes(t *testing.T) {
	retryable := map[Code]bool{
		CodeAgentError: true, CodeInvalidResult: true, CodeModelError: true, CodeOutOfMemory: true, CodeOutputLimit: true, CodeTimedOut: true,
		CodeBudgetExceeded: false, CodeCanceled: false, CodeInvalidTask: false, CodeNoExecutor: false, CodeModelNotAllowed: false,
	}
	for code, want := range retryable {
		require.Equal(t, want, code.retryable(), code)
	}
}
