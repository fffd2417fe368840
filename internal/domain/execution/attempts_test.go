package execution

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

var attemptUsage = Usage{InputTokens: 10, OutputTokens: 2, CostUSD: 0.5, Calls: 1}

// endsOfAttempt has each event that ends an attempt.
func endsOfAttempt(e *Execution) map[string]Event {
	n := e.Attempt
	ending := Ending{Status: Succeeded, Result: &Result{}, Usage: attemptUsage, StartDelay: time.Second}
	failed := (&Failure{Code: CodeAgentError, Message: "m"}).Ending(attemptUsage)
	return map[string]Event{
		"succeeded":     JobEnded{Session: session, Attempt: n, Ending: ending},
		"failed":        JobEnded{Session: session, Attempt: n, Ending: failed},
		"timed_out":     JobEnded{Session: session, Attempt: n, Ending: (&Failure{Code: CodeTimedOut}).Ending(attemptUsage)},
		"canceled":      JobEnded{Session: session, Attempt: n, Ending: NewCanceledFailure().Ending(attemptUsage)},
		"interrupted":   AttemptFailed{Session: session, Attempt: n, Usage: attemptUsage, StartDelay: time.Second},
		"start_failed":  StartFailed{Session: session, Attempt: n, Usage: attemptUsage, Reason: strings.Repeat("é", MaxAttemptDetailBytes)},
		"handed_back":   HandedBack{Session: session, Attempt: n, Usage: attemptUsage, StartDelay: time.Second},
		"lease_expired": LeaseExpired{session},
	}
}

func TestHistoryHasEachAttempt(t *testing.T) {
	for outcome := range endsOfAttempt(new(Execution)) {
		e := running(queued())
		attempts, omitted := e.AttemptHistory()
		require.Zero(t, omitted)
		require.Equal(t, []Attempt{{Number: 1, Executor: "x1", Session: session, ClaimedAt: start, Outcome: AttemptRunning}}, attempts)
		now := endOf(&e)

		require.NoError(t, e.Apply(endsOfAttempt(&e)[outcome], now), outcome)
		attempts, omitted = e.AttemptHistory()
		require.Zero(t, omitted)
		require.Equal(t, e.Attempts, attempts)
		require.Len(t, attempts, 1)
		a := attempts[0]
		require.Equal(t, AttemptOutcome(outcome), a.Outcome)
		require.Equal(t, "x1", a.Executor)
		require.Equal(t, start, a.ClaimedAt)
		require.Equal(t, now, *a.EndedAt)
		require.Equal(t, outcome == "failed" || outcome == "timed_out" || outcome == "canceled", a.Code != "", outcome)
		require.LessOrEqual(t, len(a.Detail), MaxAttemptDetailBytes)
		require.Equal(t, outcome == "start_failed", a.Detail != "")
		if outcome == "lease_expired" {
			require.Zero(t, a.Usage)
		} else {
			require.Equal(t, attemptUsage, a.Usage, outcome)
		}
		if outcome == "succeeded" || outcome == "interrupted" || outcome == "handed_back" {
			require.Equal(t, time.Second, a.StartDelay)
		}
	}
}

// Whatever happens: the history has the newest attempts, each once and in order, and says how many older ones it lacks.
func TestHistoryUnderRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := queued()
		e.QueueTimeout, e.MaxAttempts = MaxQueueTimeout, 1000
		e.RetryPolicy = agent.RetryPolicy{MaxAttempts: 1000}
		now := start
		for range rapid.IntRange(1, 2*MaxAttemptHistory).Draw(t, "attempts") {
			if e.Status.Terminal() {
				break
			}
			now = now.Add(time.Second)
			e = runningAt(t, e, now)
			outcomes := []string{"failed", "timed_out", "interrupted", "handed_back", "lease_expired", "start_failed"}
			if rapid.IntRange(0, 50).Draw(t, "ends") == 0 {
				outcomes = []string{"succeeded", "canceled"}
			}
			outcome := rapid.SampledFrom(outcomes).Draw(t, "outcome")
			before := e.attemptNumbers()
			now = endOf(&e)
			require.NoError(t, e.Apply(endsOfAttempt(&e)[outcome], now))
			require.Equal(t, before, e.attemptNumbers(), "the end of an attempt changes its entry only")

			attempts, omitted := e.AttemptHistory()
			require.Equal(t, e.Attempt, omitted+len(attempts))
			require.Len(t, attempts, min(e.Attempt, MaxAttemptHistory))
			require.Equal(t, AttemptOutcome(outcome), attempts[len(attempts)-1].Outcome)
			var usage Usage
			for i, a := range attempts {
				require.Equal(t, omitted+i+1, a.Number)
				usage = usage.add(a.Usage)
			}
			if omitted == 0 {
				require.Equal(t, usage.Calls, e.Usage.Calls, "the usage of an execution is the sum over its attempts")
			}
		}
	})
}

// endOf returns when the attempt of an execution ends.
func endOf(e *Execution) time.Time { return e.StartedAt.Add(time.Second) }

func runningAt(t *rapid.T, e Execution, now time.Time) Execution {
	require.NoError(t, e.Apply(Claimed{Executor: "x1", Session: session}, now))
	return e
}

// attemptNumbers returns the numbers of the attempts in the history.
func (e *Execution) attemptNumbers() (numbers []int) {
	attempts, _ := e.AttemptHistory()
	for _, a := range attempts {
		numbers = append(numbers, a.Number)
	}
	return numbers
}
