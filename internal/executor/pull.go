package executor

import (
	"context"
	"fmt"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// pull takes executions on while the sandbox works. Without an Engine the
// announcements stay where another executor can have them, and no attempt is
// spent. The jobs go on after it returns.
func (x *Executor) pull(ctx, workCtx context.Context) error {
	if err := x.sandbox.Ping(ctx); err != nil {
		return fmt.Errorf("executions wait (airlock doctor says how to mend it): %w", err)
	}
	engineCtx, stopPulling := context.WithCancelCause(ctx) // for as long as there is an Engine
	defer stopPulling(nil)
	x.log.Info("pulling executions", zap.Int("slots", x.config.Slots), zap.Int("reserved", x.config.Reserved))
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

// pullLane asks for no more than there are slots for. What comes when the
// other lane has taken them meanwhile is another executor's at once.
func (x *Executor) pullLane(ctx, workCtx context.Context, lane execution.Lane, stopPulling context.CancelCauseFunc) error {
	for {
		free, err := x.slots.await(ctx, lane)
		if err != nil {
			return err
		}
		notifications, err := x.queue.Pull(ctx, lane, free)
		if err != nil {
			return err
		}
		for _, notification := range notifications {
			if ctx.Err() != nil || !x.slots.take(lane) {
				x.nack(workCtx, notification)
				continue
			}
			x.attempts.Go(func() {
				releaseSlot := sync.OnceFunc(func() { x.slots.release(lane) })
				defer releaseSlot()
				x.runAttempt(workCtx, notification, releaseSlot, stopPulling)
			})
		}
	}
}
