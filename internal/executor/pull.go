package executor

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/membership"
	"github.com/airlock-run/airlock/internal/queue"
)

// pullFrom pulls as many notifications of a subscription as its lane has free slots, and starts an attempt for each. A
// notification whose slot has been taken in the meantime, by one of another subscription, goes back to the queue, for
// the next executor with a free slot. While the executor cannot start the runtime it pulls none.
func (x *Executor) pullFrom(
	ctx, workCtx context.Context, session membership.Session, from queue.Subscription, stopPulling context.CancelCauseFunc,
) error {
	lane := from.Lane
	for {
		if err := x.runtimes.awaitStartable(ctx, from.Runtime); err != nil {
			return err
		}
		free, err := x.slots.await(ctx, lane)
		if err != nil {
			return err
		}
		notifications, err := x.config.Queue.Pull(ctx, from, free)
		if _, missing := errors.AsType[*queue.ResourceError](err); missing {
			if err := x.awaitOperator(ctx, from, err); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		for _, n := range notifications {
			if ctx.Err() != nil || x.runtimes.unavailable(from.Runtime) != "" || !x.startAttempt(workCtx, session, n, lane, stopPulling) {
				x.giveBack(n, n.Return(workCtx))
			}
		}
	}
}

// startAttempt starts an attempt in the background. It returns false if no slot is free.
func (x *Executor) startAttempt(
	workCtx context.Context, session membership.Session, n queue.Notification, lane execution.Lane, stopPulling context.CancelCauseFunc,
) bool {
	if !x.slots.take(lane) {
		return false
	}
	x.attempts.run(func() {
		releaseSlot := sync.OnceFunc(func() { x.slots.release(lane) })
		defer releaseSlot()
		x.runAttempt(workCtx, session, n, releaseSlot, stopPulling)
	})
	return true
}

// missingRetryInterval is the time between two pulls from a subscription that does not exist, or may not be used.
const missingRetryInterval = 5 * time.Second

// awaitOperator waits before the next pull from a subscription that an operator must create. Others are not affected.
func (x *Executor) awaitOperator(ctx context.Context, from queue.Subscription, missing error) error {
	x.config.Log.Error("cannot pull", zap.String("subscription", from.Name()), zap.Error(missing))
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(missingRetryInterval):
		return nil
	}
}

// giveBack logs the error of a Nack or Return. Pub/Sub delivers the notification again a little later.
func (x *Executor) giveBack(n queue.Notification, err error) {
	if err != nil {
		x.config.Log.Warn("could not give the notification back", zap.String("execution", n.Ref.ID), zap.String("tenant", n.Ref.Tenant), zap.Error(err))
	}
}
