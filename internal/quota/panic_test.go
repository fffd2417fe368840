package quota

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// panickingStore panics over ada's executions, and records whose it reads.
type panickingStore struct {
	*store.Store
	read chan string
}

func (s *panickingStore) OldestThrottled(ctx context.Context, tenant string, scan *store.Scan, limit int) ([]execution.Ref, error) {
	s.read <- tenant
	if tenant == ada {
		panic("on purpose")
	}
	return s.Store.OldestThrottled(ctx, tenant, scan, limit)
}

// The releases of each tenant run in a goroutine of their own. A panic over one is an error, and the others go on.
func TestPanicOverOneTenantIsError(t *testing.T) {
	h := newHarness(t, Limits{Running: 1})
	s := &panickingStore{Store: h.store, read: make(chan string, 2)}
	e := New(Config{Store: s, Limits: Limits{Running: 1}, Publisher: h, Log: zaptest.NewLogger(t)})
	e.pendingReleases.Add(ada)
	e.pendingReleases.Add(bob)
	require.ErrorAs(t, e.releasePending(t.Context()), new(*supervise.PanicError))
	require.ElementsMatch(t, []string{ada, bob}, []string{<-s.read, <-s.read})
}
