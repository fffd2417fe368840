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
type rotten struct {
	*store.Store
	calls atomic.Int32
}

func (s *rotten) WebhookSecrets(ctx context.Context, owner string) (webhook.Secrets, error) {
	if s.calls.Add(1) == 1 {
		panic("on purpose")
	}
	return s.Store.WebhookSecrets(ctx, owner)
}

// A panic over one delivery ends this attempt at it, and nothing else.
func TestAPanicIsAnAttemptThatFailed(t *testing.T) {
	t.Parallel()
	f := start(t)
	url, _ := receive(t, status(http.StatusNoContent))
	core, logs := observer.New(zap.ErrorLevel)
	c := New(Config{Interval: 5 * time.Millisecond, Guard: local, Agent: "Airlock/test"}, &rotten{Store: f.Store}, zap.New(core))
	f.keep(t, c)
	first := f.end(t, ada, url)
	f.await(t, first, func(webhook.Delivery) bool { return logs.Len() == 1 })
	require.Contains(t, logs.All()[0].ContextMap()["error"], "WebhookSecrets", "where it came from")
	f.await(t, f.end(t, ada, url), in(webhook.Delivered))
	f.clock.Advance(time.Hour)
	require.Equal(t, 2, f.await(t, first, in(webhook.Delivered)).Attempt)
}
