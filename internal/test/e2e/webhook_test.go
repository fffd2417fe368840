package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// webhookMessage is a message that the receiver has verified.
type webhookMessage struct {
	Type string `json:"type"`
	Data struct {
		ExecutionID string `json:"executionId"`
		BatchID     string `json:"batchId"`
		Code        string `json:"code"`
		URLs        struct {
			Self string `json:"self"`
		} `json:"urls"`
	} `json:"data"`
}

// startWebhookReceiver starts a receiver as docs/webhooks.md describes it. It
// verifies messages with the library of the standard and the API's secret.
func (a *airlock) startWebhookReceiver() (url string, messages <-chan webhookMessage) {
	a.t.Helper()
	var secret contract.WebhookSecret
	a.get("/webhooks/secret", &secret)
	verifier, err := standard.NewWebhook(secret.Secret)
	require.NoError(a.t, err)
	got := make(chan webhookMessage, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m webhookMessage
		if err != nil || verifier.Verify(body, r.Header) != nil || json.Unmarshal(body, &m) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		got <- m
		w.WriteHeader(http.StatusNoContent)
	}))
	a.t.Cleanup(s.Close)
	return s.URL, got
}

func (a *airlock) awaitWebhook(messages <-chan webhookMessage) webhookMessage {
	a.t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(waitLimit):
		a.t.Fatal("no message arrived")
		return webhookMessage{}
	}
}

func TestWebhooksOfRunAndBatch(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	url, messages := a.startWebhookReceiver()

	run := a.submitRun(agent.Id, contract.RunAgent{Input: `{"offline":{"exit":3}}`, Webhook: url})
	m := a.awaitWebhook(messages)
	require.Equal(t, "execution.failed", m.Type)
	require.Equal(t, run.ExecutionId, m.Data.ExecutionID)
	require.Equal(t, "agent_error", m.Data.Code)
	var e contract.Execution
	a.get(m.Data.URLs.Self, &e)
	require.Equal(t, contract.StatusFailed, e.Status, "the final state is readable when the message arrives")

	got := a.do(http.MethodPost, "/agents/"+agent.Id+"/batches?webhook="+url, linesType, []byte("\"one\"\n\"two\"\n\"three\"\n"))
	require.Equal(t, http.StatusAccepted, got.StatusCode, "%s", got.body)
	m = a.awaitWebhook(messages)
	require.Equal(t, "batch.finished", m.Type)
	var b contract.Batch
	a.get(m.Data.URLs.Self, &b)
	require.Equal(t, m.Data.BatchID, b.Id)
	require.Equal(t, contract.BatchFinished, b.Status)
	require.Equal(t, 3, b.Progress.Succeeded)

	for _, url := range []string{e.Urls.Delivery, b.Urls.Delivery} {
		a.eventually("delivered", func() bool {
			var d contract.Delivery
			a.get(url, &d)
			return d.State == contract.DeliveryDelivered
		})
	}
	require.Empty(t, messages, "one message for each")
}
