package webhookdispatch

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/store"
)

// panickingStore is a real store whose first WebhookSecrets panics.
type panickingStore struct {
	*store.Store
	calls atomic.Int32
}

func (s *panickingStore) WebhookSecrets(ctx context.Context, tenant string) (webhook.Secrets, error) {
	if s.calls.Add(1) == 1 {
		panic("on purpose")
	}
	return s.Store.WebhookSecrets(ctx, tenant)
}

// A panic ends one attempt at one delivery. The attempt is repeated, and other deliveries are sent.
func TestPanicFailsOnlyItsAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	url, _ := startReceiver(t, respondWith(http.StatusNoContent))
	core, logs := observer.New(zap.ErrorLevel)
	d := New(Config{
		Store: &panickingStore{Store: f.Store}, Interval: 5 * time.Millisecond, Guard: loopbackGuard, UserAgent: "Airlock/test", Log: zap.New(core),
	})
	f.startDispatcher(t, d)
	first := f.finishExecution(t, testTenant, url)
	require.Eventually(t, func() bool { return logs.Len() == 1 }, waitTimeout, pollInterval)
	require.Contains(t, logs.All()[0].ContextMap()["error"], "WebhookSecrets", "the stack shows where the panic came from")
	f.await(t, f.finishExecution(t, testTenant, url), hasState(webhook.Delivered))
	f.clock.Advance(time.Hour)
	require.Equal(t, 2, f.await(t, first, hasState(webhook.Delivered)).Attempt)
}
