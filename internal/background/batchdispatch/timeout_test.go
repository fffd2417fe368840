package batchdispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// hangingStore answers only when its caller gives up.
type hangingStore struct{}

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hangingStore) DueBatches(ctx context.Context, _ *store.Scan, _ int) ([]batch.Ref, error) {
	return nil, hang(ctx)
}

func (hangingStore) DispatchBatch(ctx context.Context, _ batch.Ref) (batch.Batch, execution.Change, error) {
	return batch.Batch{}, execution.Change{}, hang(ctx)
}

func (hangingStore) BatchInFlight(ctx context.Context, _ batch.Ref, _ *store.Scan, _ int) ([]execution.Ref, error) {
	return nil, hang(ctx)
}

func (hangingStore) Apply(ctx context.Context, _ execution.Ref, _ execution.Event) (execution.Change, error) {
	return execution.Change{}, hang(ctx)
}

// A store that does not answer does not stop the dispatcher for ever.
func TestCallsOfStoreAreBounded(t *testing.T) {
	d := New(Config{Store: hangingStore{}, Executions: hangingStore{}, Interval: time.Second, Log: zap.NewNop()})
	for name, call := range map[string]struct {
		limit time.Duration
		run   func(context.Context) error
	}{
		"poll":      {callTimeout, d.poll},
		"dispatch":  {dispatchTimeout, func(ctx context.Context) error { return d.dispatch(ctx, batch.Ref{}) }},
		"in flight": {callTimeout, func(ctx context.Context) error { return d.cancelInFlight(ctx, batch.Ref{}) }},
		"cancel":    {callTimeout, func(ctx context.Context) error { return d.cancelExecution(ctx, execution.Ref{}) }},
	} {
		synctest.Test(t, func(t *testing.T) { // its clock makes the time-outs pass at once
			startedAt := time.Now()
			require.ErrorIs(t, call.run(t.Context()), context.DeadlineExceeded, name)
			require.Equal(t, call.limit, time.Since(startedAt), name)
		})
	}
}
