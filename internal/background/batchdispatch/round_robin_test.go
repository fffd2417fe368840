package batchdispatch

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// cancelingPublisher cancels the executions that it publishes, and records their batches.
type cancelingPublisher struct {
	fixture    *fixture
	dispatched []string // IDs of batches
	onFinished func(execution.Execution)
}

func (p *cancelingPublisher) Publish(_ context.Context, ch execution.Change) error {
	p.dispatched = append(p.dispatched, ch.Execution.BatchID)
	for _, ref := range ch.Notify {
		canceled, err := p.fixture.store.Apply(p.fixture.t.Context(), ref, execution.CancelRequested{})
		if err != nil {
			return err
		}
		p.onFinished(canceled.Execution)
	}
	return nil
}

// A batch has one turn at a time, however fast its executions end.
func TestBatchesAreDispatchedRoundRobin(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	publisher := &cancelingPublisher{fixture: f}
	d := f.newDispatcher(f.store, publisher)
	publisher.onFinished = d.OnExecutionFinished
	first, second := f.submit(12), f.submit(12)
	refs := []batch.Ref{first, second}
	for len(refs) > 0 {
		for _, ref := range refs {
			require.NoError(t, d.dispatch(t.Context(), ref))
		}
		refs = d.pending.Drain()
	}
	require.Greater(t, len(publisher.dispatched), 2, "several turns are needed")
	turns := map[string]int{}
	for _, id := range publisher.dispatched {
		turns[id]++
		require.LessOrEqual(t, max(turns[first.ID]-turns[second.ID], turns[second.ID]-turns[first.ID]), 1)
	}
}
