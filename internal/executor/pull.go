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
func (x *Executor) pull(ctx, work context.Context) error {
	if err := x.sandbox.Ping(ctx); err != nil {
		return fmt.Errorf("executions wait (airlock doctor says how to mend it): %w", err)
	}
	there, gone := context.WithCancelCause(ctx) // for as long as there is an Engine
	defer gone(nil)
	x.log.Info("pulling executions", zap.Int("slots", x.config.Slots), zap.Int("reserved", x.config.Reserved))
	pulling, both := errgroup.WithContext(there)
	for _, lane := range []execution.Lane{execution.Interactive, execution.Batch} {
		pulling.Go(func() error { return x.pullLane(both, work, lane, gone) })
	}
	err := pulling.Wait()
	if there.Err() != nil {
		return context.Cause(there)
	}
	return err
}

// pullLane asks for no more than there are slots for. What comes when the
// other lane has taken them meanwhile is another executor's at once.
func (x *Executor) pullLane(ctx, work context.Context, lane execution.Lane, engineGone context.CancelCauseFunc) error {
	for {
		free, err := x.slots.await(ctx, lane)
		if err != nil {
			return err
		}
		announced, err := x.queue.Pull(ctx, lane, free)
		if err != nil {
			return err
		}
		for _, a := range announced {
			if ctx.Err() != nil || !x.slots.take(lane) {
				x.giveBack(work, a)
				continue
			}
			x.jobs.Go(func() {
				release := sync.OnceFunc(func() { x.slots.release(lane) })
				defer release()
				x.handle(work, a, release, engineGone)
			})
		}
	}
}
