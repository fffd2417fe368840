package executor

import (
	"context"
	"fmt"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// pull pulls both lanes while the Engine answers. Without an Engine, notifications stay in the queue for other
// executors, and no execution uses up an attempt. The jobs in progress continue after it returns.
func (x *Executor) pull(ctx, workCtx context.Context) error {
	if err := x.config.Sandbox.Ping(ctx); err != nil {
		return fmt.Errorf("no sandbox engine; executions stay queued (run airlock doctor): %w", err)
	}
	engineCtx, stopPulling := context.WithCancelCause(ctx) // ends when the Engine does not answer
	defer stopPulling(nil)
	x.config.Log.Info("pulling executions", zap.Int("slots", x.config.Slots), zap.Int("reserved", x.config.Reserved))
	lanes, lanesCtx := errgroup.WithContext(engineCtx)
	for _, lane := range []execution.Lane{execution.LaneInteractive, execution.LaneBatch} {
		lanes.Go(func() error { return x.pullLane(lanesCtx, workCtx, lane, stopPulling) })
	}
	err := lanes.Wait()
	if engineCtx.Err() != nil {
		return context.Cause(engineCtx)
	}
	return err
}

// checkEngine stops pulling when the Engine does not answer.
func (x *Executor) checkEngine(ctx context.Context, stopPulling context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := x.config.Sandbox.Ping(ctx); err != nil {
		stopPulling(err)
	}
}
