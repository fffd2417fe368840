package executor

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/supervise"
)

// heart renews the lease of one attempt from the claim until the verdict is
// written, and ends the job when it must end early.
type heartbeat struct {
	executor  *Executor
	execution *execution.Execution
	steps     *stepBuffer
	cancelJob context.CancelCauseFunc // of the job
	log       *zap.Logger
	stop      context.CancelFunc
	done      chan struct{}
}

// startHeart beats every Config.Heartbeat and whenever a signal pokes it, for
// a lease that holds until expires by this machine's monotonic clock. A beat that
// is not answered within half of that is repeated, so that one call that hangs
// does not use up the lease.
// It calls end with errCanceled when a cancellation was asked for, and with
// execution.ErrLeaseLost when the attempt has no right to go on: another one
// has the execution, or the lease could not be renewed before it ran out.
// After a panic the lease is renewed no more, and the job ends with that.
func (x *Executor) startHeartbeat(jobCtx context.Context, e *execution.Execution, expiresAt time.Time, steps *stepBuffer, cancelJob context.CancelCauseFunc, log *zap.Logger) *heartbeat {
	// The lease is renewed until the verdict is written, also when the job was ended before.
	ctx, stop := context.WithCancel(context.WithoutCancel(jobCtx))
	h := &heartbeat{executor: x, execution: e, steps: steps, cancelJob: cancelJob, log: log, stop: stop, done: make(chan struct{})}
	signaled, unsubscribe := x.signals.Subscribe(e.Ref())
	go func() {
		defer close(h.done)
		defer unsubscribe()
		if err := h.run(ctx, expiresAt, signaled); err != nil {
			cancelJob(err)
		}
	}()
	return h
}

func (h *heartbeat) stopAndWait() {
	h.stop()
	<-h.done
}

// beat returns why the job has to end; nil once ctx has.
func (h *heartbeat) run(ctx context.Context, expiresAt time.Time, signaled <-chan struct{}) (err error) {
	defer supervise.RecoverTo(&err)
	lease, interval := h.executor.config.Lease, h.executor.config.Heartbeat
	renewTimer := time.NewTimer(interval)
	defer renewTimer.Stop()
	// The lease counts from before it was asked for, so it never seems longer
	// here than it is in the store.
	expiryTimer := time.NewTimer(time.Until(expiresAt))
	defer expiryTimer.Stop()
	publishedCount := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-expiryTimer.C:
			h.log.Error("lease ran out unrenewed; ending the job")
			return execution.ErrLeaseLost
		case <-renewTimer.C:
		case <-signaled:
		}
		renewStartedAt := time.Now()
		steps, count := h.steps.snapshot()
		// A store that does not answer must not hide the end of the lease.
		change, err := h.renew(ctx, min(interval/2, time.Until(expiresAt)), steps)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			expiresAt = renewStartedAt.Add(lease)
			expiryTimer.Reset(time.Until(expiresAt))
			renewTimer.Reset(interval - time.Since(renewStartedAt))
			if count > publishedCount { // somebody may watch
				h.executor.publish(ctx, change, h.log)
				publishedCount = count
			}
			if change.Execution.CancelRequested {
				h.cancelJob(errCanceled)
			}
		case isRejection(err) || errors.Is(err, execution.ErrLeaseLost):
			return execution.ErrLeaseLost
		default:
			h.log.Warn("could not renew the lease", zap.Error(err))
			renewTimer.Reset(interval/2 - time.Since(renewStartedAt))
		}
	}
}

func (h *heartbeat) renew(ctx context.Context, timeout time.Duration, steps []execution.Step) (execution.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return h.executor.apply(ctx, h.execution.Ref(), execution.Renewed{Attempt: h.execution.Attempt, Lease: h.executor.config.Lease, Steps: steps})
}
