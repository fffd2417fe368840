package webhookdispatch

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

func TestAReceiverThatHangsIsTimedOut(t *testing.T) {
	t.Parallel()
	url, _ := receive(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := New(Config{Guard: local}, nil, zaptest.NewLogger(t))
	require.Equal(t, webhook.Timeout, c.client.Timeout)
	c.client.Timeout = 50 * time.Millisecond
	answer, err := c.send(t.Context(), &webhook.Delivery{URL: url}, webhook.NewSecrets(), time.Now())
	require.Error(t, err)
	require.Equal(t, webhook.Answer{Reason: webhook.TimedOut}, answer)
	c.client.CloseIdleConnections()
}
