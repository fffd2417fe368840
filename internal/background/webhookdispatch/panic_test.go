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

// rotten is the real store, where the first attempt at a delivery finds a panic.
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

// A panic over one delivery ends this attempt at it, and nothing else.
func TestPanicFailsOnlyItsAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	url, _ := startReceiver(t, respondWith(http.StatusNoContent))
	core, logs := observer.New(zap.ErrorLevel)
	c := New(Config{Interval: 5 * time.Millisecond, Guard: loopbackGuard, UserAgent: "Airlock/test"}, &panickingStore{Store: f.Store}, zap.New(core))
	f.startDispatcher(t, c)
	first := f.finishExecution(t, testTenant, url)
	f.await(t, first, func(webhook.Delivery) bool { return logs.Len() == 1 })
	require.Contains(t, logs.All()[0].ContextMap()["error"], "WebhookSecrets", "where it came from")
	f.await(t, f.finishExecution(t, testTenant, url), hasState(webhook.Delivered))
	f.clock.Advance(time.Hour)
	require.Equal(t, 2, f.await(t, first, hasState(webhook.Delivered)).Attempt)
}
