package webhook

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func finishedExecution(status execution.Status) *execution.Execution {
	return &execution.Execution{ID: "exe_1", Tenant: "ada", AgentID: "agt_1", Status: status, Webhook: "https://example.com/h",
		Task: execution.Task{Input: "secret input"}, Result: &execution.Result{Text: "secret result"}}
}

func TestPayloadIdentifiesSubjectWithoutResult(t *testing.T) {
	e := finishedExecution(execution.Failed)
	e.Failure = &execution.Failure{Code: execution.CodeOutOfMemory, Message: "secret message"}
	d := NewExecutionDelivery(e, noon)
	require.JSONEq(t, `{"type":"execution.failed","timestamp":"2026-05-01T12:00:00Z","data":{
		"executionId":"exe_1","agentId":"agt_1","status":"failed","code":"out_of_memory","urls":{"self":"/executions/exe_1"}}}`, d.Body)
	require.Equal(t, ExecutionFailed, d.Type)
	require.Equal(t, d.ID, NewExecutionDelivery(e, noon.Add(time.Hour)).ID, "the subject determines the ID")

	b := &batch.Batch{ID: "bat_1", Tenant: "ada", AgentID: "agt_1", Total: 7, Webhook: "https://example.com/h", FinishedAt: &noon}
	require.JSONEq(t, `{"type":"batch.finished","timestamp":"2026-05-01T12:00:00Z","data":{
		"batchId":"bat_1","agentId":"agt_1","total":7,"urls":{"self":"/batches/bat_1","results":"/batches/bat_1/results"}}}`, NewBatchDelivery(b, noon).Body)
}

func TestEveryTerminalStatusHasEventType(t *testing.T) {
	for status, want := range map[execution.Status]Type{
		execution.Succeeded: ExecutionSucceeded, execution.Failed: ExecutionFailed,
		execution.TimedOut: ExecutionTimedOut, execution.Canceled: ExecutionCanceled,
	} {
		require.Equal(t, want, NewExecutionDelivery(finishedExecution(status), noon).Type)
	}
}

func TestNoDeliveryWithoutWebhookOrBeforeEnd(t *testing.T) {
	require.Nil(t, NewExecutionDelivery(finishedExecution(execution.Running), noon))
	withoutWebhook := finishedExecution(execution.Succeeded)
	withoutWebhook.Webhook = ""
	require.Nil(t, NewExecutionDelivery(withoutWebhook, noon))
	require.Nil(t, NewBatchDelivery(&batch.Batch{Webhook: "https://example.com"}, noon))
	require.Nil(t, NewBatchDelivery(&batch.Batch{FinishedAt: &noon}, noon))
}

// The test verifies with the library of Standard Webhooks.
func TestSignatureVerifiesWithStandardWebhooks(t *testing.T) {
	now := time.Now()
	secrets := NewSecrets()
	first := secrets.Current
	verify := func(s Secret, signature, body string) error {
		receiver, err := standard.NewWebhook(string(s))
		require.NoError(t, err)
		header := http.Header{}
		header.Set("webhook-id", "dlv_1")
		header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		header.Set("webhook-signature", signature)
		return receiver.Verify([]byte(body), header)
	}
	signature, err := secrets.Signature("dlv_1", now, "body")
	require.NoError(t, err)
	require.NoError(t, verify(first, signature, "body"))
	require.Error(t, verify(first, signature, "Body"))
	require.Error(t, verify(newSecret(), signature, "body"))

	secrets.Rotate(now)
	require.NotEqual(t, first, secrets.Current)
	signature, err = secrets.Signature("dlv_1", now, "body")
	require.NoError(t, err)
	require.NoError(t, verify(first, signature, "body"), "the previous secret signs for a day")
	require.NoError(t, verify(secrets.Current, signature, "body"))

	signature, err = secrets.Signature("dlv_1", now.Add(rotationOverlap+time.Second), "body")
	require.NoError(t, err)
	require.NotContains(t, signature, " ", "after a day only the current secret signs")
}

// Receivers respond with any status, or not at all.
func TestDeliveryFinishesWithinTwoDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := NewExecutionDelivery(finishedExecution(execution.Succeeded), noon)
		now := noon
		statuses := rapid.SliceOfN(rapid.SampledFrom([]int{-1, 0, 199, 200, 204, 299, 300, 307, 400, 410, 429, 500, 503}), 10, 10).Draw(t, "statuses")
		for _, status := range statuses {
			if d.State != Pending {
				break
			}
			require.ErrorIs(t, d.Claim(d.Due.Add(-time.Millisecond)), ErrNotDue)
			now = *d.Due
			require.NoError(t, d.Claim(now))
			if d.State != Pending {
				break
			}
			require.Greater(t, d.Due.Sub(now), AttemptTimeout, "an attempt ends before the next begins")
			if status >= 0 { // a negative status: the dispatcher died
				require.NoError(t, d.RecordResult(d.Attempt, AttemptResult{Status: status}, now))
			}
		}
		require.NotEqual(t, Pending, d.State)
		require.Nil(t, d.Due)
		require.NotNil(t, d.FinishedAt)
		require.LessOrEqual(t, d.FinishedAt.Sub(noon), 48*time.Hour)
		require.LessOrEqual(t, d.Attempt, MaxAttempts)
		require.ErrorIs(t, d.RecordResult(d.Attempt, AttemptResult{Status: 200}, now), ErrNotDue)
		require.ErrorIs(t, d.Postpone(now), ErrNotDue)
		if d.State == Exhausted {
			require.Equal(t, MaxAttempts, d.Attempt)
			require.GreaterOrEqual(t, d.FinishedAt.Sub(noon), 18*time.Hour, "a failed receiver has a night to recover")
		}
	})
}

func TestLateResultCountsOnlyOnSuccess(t *testing.T) {
	d := NewExecutionDelivery(finishedExecution(execution.Succeeded), noon)
	require.NoError(t, d.Claim(noon))
	require.NoError(t, d.Claim(noon.Add(time.Minute)))
	require.ErrorIs(t, d.RecordResult(1, AttemptResult{Status: 500}, noon), ErrNotDue)
	require.Zero(t, d.LastResult)
	require.NoError(t, d.RecordResult(1, AttemptResult{Status: 200}, noon))
	require.Equal(t, Delivered, d.State)
}

func TestRetryFinishedDelivery(t *testing.T) {
	d := NewExecutionDelivery(finishedExecution(execution.Succeeded), noon)
	require.ErrorIs(t, d.Retry(noon), ErrNotFinished)
	require.NoError(t, d.Claim(noon))
	require.NoError(t, d.RecordResult(1, AttemptResult{Status: http.StatusGone}, noon))
	require.Equal(t, Refused, d.State)
	require.NoError(t, d.Retry(noon))
	require.NoError(t, d.Claim(noon))
	require.Equal(t, 1, d.Attempt)
}
