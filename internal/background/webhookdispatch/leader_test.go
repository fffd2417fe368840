package webhookdispatch

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// countingStore has no deliveries, and counts who asks for some.
type countingStore struct {
	Store
	polls atomic.Int32
}

func (s *countingStore) DueDeliveries(context.Context, *store.Scan, int) ([]store.DueDelivery, error) {
	s.polls.Add(1)
	return nil, nil
}

// Only the leader asks regularly. The others ask when an execution with a webhook has ended in their process.
func TestOnlyTheLeaderPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, leads := &countingStore{}, new(atomic.Bool)
		d := New(Config{Store: s, Interval: Interval, Leads: leads.Load, Log: zap.NewNop()})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.Run(ctx) }()
		time.Sleep(time.Minute)
		require.Zero(t, s.polls.Load())
		d.OnExecutionFinished(execution.Execution{})
		d.OnExecutionFinished(execution.Execution{Webhook: "https://example.com"})
		time.Sleep(time.Minute)
		synctest.Wait() // it has asked whether it leads, at the same time
		require.EqualValues(t, 1, s.polls.Load())
		leads.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait() // the last poll is at the same time
		require.EqualValues(t, 1+time.Minute/Interval, s.polls.Load())
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			require.NoError(t, err)
		}
	})
}
