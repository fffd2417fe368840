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
type instant struct {
	w    *world
	fed  []string // IDs of batches
	look func(execution.Execution)
}

func (b *instant) Tell(_ context.Context, ch execution.Change) error {
	b.fed = append(b.fed, ch.Execution.BatchID)
	for _, ref := range ch.Announce {
		ended, err := b.w.store.Apply(b.w.t.Context(), ref, execution.CancelAsked{})
		if err != nil {
			return err
		}
		b.look(ended.Execution)
	}
	return nil
}

// However fast its executions end, a batch has its turn and no more.
func TestBatchesAreFedInTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bell := &instant{w: w}
	f := New(w.store, bell, interval, zaptest.NewLogger(t))
	bell.look = f.Ended
	first, second := w.submit(12), w.submit(12)
	refs := []batch.Ref{first, second}
	for len(refs) > 0 {
		for _, ref := range refs {
			require.NoError(t, f.look(t.Context(), ref))
		}
		refs = f.gather(t.Context())
	}
	require.Greater(t, len(bell.fed), 2, "it takes several turns")
	turns := map[string]int{}
	for _, id := range bell.fed {
		turns[id]++
		require.LessOrEqual(t, max(turns[first.ID]-turns[second.ID], turns[second.ID]-turns[first.ID]), 1)
	}
}
