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

// told is a message as a receiver gets it, verified.
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

// receiver is somebody else's server: it verifies by the standard's own library
// with the secret that the API shows, as docs/webhooks.md says.
func (a *airlock) startWebhookReceiver() (url string, messages <-chan webhookMessage) {
	a.t.Helper()
	var shown contract.WebhookSecret
	a.call(http.MethodGet, "/webhooks/secret", http.StatusOK, nil, &shown)
	verifier, err := standard.NewWebhook(shown.Secret)
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
	case <-time.After(time.Minute):
		a.t.Fatal("no message comes")
		return webhookMessage{}
	}
}

func TestWebhooksOfRunAndBatch(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	url, messages := a.startWebhookReceiver()

	var run contract.AcceptedExecution
	a.call(http.MethodPost, "/agents/"+agent.Id+"/run", http.StatusAccepted,
		contract.RunAgent{Input: `{"offline":{"exit":3}}`, Webhook: url}, &run)
	m := a.awaitWebhook(messages)
	require.Equal(t, "execution.failed", m.Type)
	require.Equal(t, run.ExecutionId, m.Data.ExecutionID)
	require.Equal(t, "agent_error", m.Data.Code)
	var e contract.Execution
	a.call(http.MethodGet, m.Data.URLs.Self, http.StatusOK, nil, &e)
	require.Equal(t, contract.StatusFailed, e.Status, "who is told finds the end")

	got := a.do(http.MethodPost, "/agents/"+agent.Id+"/batches?webhook="+url, linesType, []byte("\"one\"\n\"two\"\n\"three\"\n"))
	require.Equal(t, http.StatusAccepted, got.StatusCode, "%s", got.body)
	m = a.awaitWebhook(messages)
	require.Equal(t, "batch.finished", m.Type)
	var b contract.Batch
	a.call(http.MethodGet, m.Data.URLs.Self, http.StatusOK, nil, &b)
	require.Equal(t, m.Data.BatchID, b.Id)
	require.Equal(t, contract.BatchFinished, b.Status)
	require.Equal(t, 3, b.Progress.Succeeded)

	for _, at := range []string{e.Urls.Delivery, b.Urls.Delivery} {
		a.eventually("delivered", func() bool {
			var d contract.Delivery
			a.call(http.MethodGet, at, http.StatusOK, nil, &d)
			return d.State == contract.DeliveryDelivered
		})
	}
	require.Empty(t, messages, "each end is told of once")
}
