package webhookdispatch

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

func TestReceiverTimeout(t *testing.T) {
	t.Parallel()
	url, _ := startReceiver(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	d := New(Config{Guard: loopbackGuard, Log: zaptest.NewLogger(t)})
	require.Equal(t, webhook.AttemptTimeout, d.client.Timeout)
	d.client.Timeout = 50 * time.Millisecond
	result, err := d.send(t.Context(), &webhook.Delivery{URL: url}, webhook.NewSecrets(), time.Now())
	require.Error(t, err)
	require.Equal(t, webhook.AttemptResult{Reason: webhook.TimedOut}, result)
	d.client.CloseIdleConnections()
}
