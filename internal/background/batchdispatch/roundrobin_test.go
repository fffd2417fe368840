package batchdispatch

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// instant is a bell whose executions have ended before it returns, and that
// notes whose they were.
type cancelingPublisher struct {
	w          *fixture
	dispatched []string // IDs of batches
	onFinished func(execution.Execution)
}

func (b *cancelingPublisher) Publish(_ context.Context, ch execution.Change) error {
	b.dispatched = append(b.dispatched, ch.Execution.BatchID)
	for _, ref := range ch.Notify {
		ended, err := b.w.store.Apply(b.w.t.Context(), ref, execution.CancelRequested{})
		if err != nil {
			return err
		}
		b.onFinished(ended.Execution)
	}
	return nil
}

// However fast its executions end, a batch has its turn and no more.
func TestBatchesAreDispatchedRoundRobin(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	publisher := &cancelingPublisher{w: w}
	f := New(w.store, publisher, interval, zaptest.NewLogger(t))
	publisher.onFinished = f.OnExecutionFinished
	first, second := w.submit(12), w.submit(12)
	refs := []batch.Ref{first, second}
	for len(refs) > 0 {
		for _, ref := range refs {
			require.NoError(t, f.dispatch(t.Context(), ref))
		}
		refs = f.drainPending(t.Context())
	}
	require.Greater(t, len(publisher.dispatched), 2, "it takes several turns")
	turns := map[string]int{}
	for _, id := range publisher.dispatched {
		turns[id]++
		require.LessOrEqual(t, max(turns[first.ID]-turns[second.ID], turns[second.ID]-turns[first.ID]), 1)
	}
}
