package execution

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func hours(n int) *time.Duration { return new(time.Duration(n) * time.Hour) }

// The shorter of the agent's retention and the tenant's counts from the end. Who follows the transcript gets its end.
func TestTranscriptExpires(t *testing.T) {
	for name, tc := range map[string]struct {
		agents, tenants *time.Duration
		after           *time.Duration // the end; nil: as long as the execution
	}{
		"neither":                {nil, nil, nil},
		"the agent's":            {hours(2), nil, hours(2)},
		"the tenant's":           {nil, hours(3), hours(3)},
		"the agent's is shorter": {hours(2), hours(3), hours(2)},
		"the agent's is longer":  {hours(4), hours(3), hours(3)},
		"none is kept":           {hours(0), hours(3), new(MinTranscriptRetention)},
		"the tenant keeps none":  {hours(4), hours(0), new(MinTranscriptRetention)},
	} {
		t.Run(name, func(t *testing.T) {
			e := queued()
			e.TranscriptRetention = tc.agents
			require.NoError(t, e.Apply(Claimed{Executor: "x1", Session: session, TranscriptBound: tc.tenants}, start))
			require.Nil(t, e.TranscriptExpiresAt, "the agent runs")
			end := start.Add(time.Minute)
			require.NoError(t, e.Apply(JobEnded{session, 1, Ending{Status: Succeeded, Result: &Result{}}}, end))
			if tc.after == nil {
				require.Nil(t, e.TranscriptExpiresAt)
				return
			}
			expires := end.Add(*tc.after)
			require.Equal(t, expires, *e.TranscriptExpiresAt)
			_, ended := e.TranscriptEnded(expires.Add(-1))
			require.False(t, ended)
			at, ended := e.TranscriptEnded(expires)
			require.True(t, ended)
			require.Equal(t, expires, at)
			deleted := expires.Add(time.Second)
			e.TranscriptExpiresAt, e.TranscriptDeletedAt = nil, &deleted
			at, ended = e.TranscriptEnded(start)
			require.True(t, ended, "whatever the clock says")
			require.Equal(t, deleted, at)
		})
	}
}

// What the tenant allows is read with each claim, so the newest attempt has what holds then, also if its lease expires.
func TestTranscriptBoundIsOfNewestAttempt(t *testing.T) {
	e := queued()
	require.NoError(t, e.Apply(Claimed{Executor: "x1", Session: session, TranscriptBound: hours(9)}, start))
	require.NoError(t, e.Apply(HandedBack{Session: session, Attempt: 1}, start))
	require.NoError(t, e.Apply(Claimed{Executor: "x1", Session: session, TranscriptBound: hours(1)}, start))
	e.FailedAttempts = e.MaxAttempts - 1
	require.NoError(t, e.Apply(LeaseExpired{Session: session}, start))
	require.Equal(t, Failed, e.Status)
	require.Equal(t, start.Add(time.Hour), *e.TranscriptExpiresAt)
}

func TestExecutionWithoutAttemptHasNoTranscript(t *testing.T) {
	e := queued()
	e.TranscriptRetention = hours(1)
	require.NoError(t, e.Apply(CancelRequested{}, start))
	require.Nil(t, e.TranscriptExpiresAt)
}

// A retry has the agent's retention of the execution that it repeats, and none of its times.
func TestRetryHasTranscriptOfItsOwn(t *testing.T) {
	e := queued()
	e.TranscriptRetention = hours(1)
	require.NoError(t, e.Apply(Claimed{Executor: "x1", Session: session, TranscriptBound: hours(2)}, start))
	require.NoError(t, e.Apply(JobEnded{session, 1, (&Failure{Code: CodeAgentError}).Ending(Usage{})}, start))
	retry, err := e.Retry(start)
	require.NoError(t, err)
	require.Equal(t, hours(1), retry.TranscriptRetention)
	require.Nil(t, retry.TranscriptBound)
	require.Nil(t, retry.TranscriptExpiresAt)
}
