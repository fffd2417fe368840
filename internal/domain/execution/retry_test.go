package execution

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestRetryCopiesUnsuccessfulExecution(t *testing.T) {
	e := queued()
	e.AgentID, e.BatchID, e.ConversationID, e.Turn = "agt_1", "bat_1", "con_1", 7
	e.Labels = Labels(map[string]string{"env": "prod"})
	e.Task.Instructions, e.Task.Schema = "Count", "{}"
	require.NoError(t, e.Apply(Claimed{Executor: "x1", Session: session}, start))
	require.NoError(t, e.Apply(JobEnded{session, 1, (&Failure{Code: CodeAgentError}).Ending(Usage{Calls: 1})}, start))
	before := e

	later := start.Add(time.Hour)
	retry, err := e.Retry(later)
	require.NoError(t, err)
	require.Equal(t, before, e, "the repeated execution does not change")
	require.NotEqual(t, e.ID, retry.ID)

	want := New(Spec{Tenant: e.Tenant, Kind: e.Kind, Task: e.Task, Limits: e.Limits}, later)
	want.ID, want.Shard, want.AgentID, want.ConversationID = retry.ID, retry.Shard, "agt_1", "con_1"
	want.Labels, want.RetryOf = e.Labels, e.ID
	require.Empty(t, cmp.Diff(want, retry), "the retry belongs to no batch, and the conversation sets its turn")
}

func TestRetryRequiresUnsuccessfulExecution(t *testing.T) {
	for name, tc := range map[string]struct {
		events []Event
		err    error
	}{
		"queued":    {nil, ErrNotFinished},
		"running":   {[]Event{Claimed{Executor: "x1", Session: session}}, ErrNotFinished},
		"succeeded": {[]Event{Claimed{Executor: "x1", Session: session}, JobEnded{session, 1, Ending{Status: Succeeded, Result: &Result{}}}}, ErrSucceeded},
		"canceled":  {[]Event{CancelRequested{}}, nil},
		"timed out": {[]Event{Claimed{Executor: "x1", Session: session}, JobEnded{session, 1, (&Failure{Code: CodeTimedOut}).Ending(Usage{})}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := queued()
			for _, ev := range tc.events {
				require.NoError(t, e.Apply(ev, start))
			}
			_, err := e.Retry(start)
			require.ErrorIs(t, err, tc.err)
		})
	}
}
