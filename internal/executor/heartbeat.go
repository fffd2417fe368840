package executor

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// heartbeat renews the lease of one attempt from the claim until the result is written, and ends the job early when
// that is necessary.
type heartbeat struct {
	*attempt
	cancelJob context.CancelCauseFunc
	stop      context.CancelFunc
	done      chan struct{}
}

// startHeartbeat renews the lease every Config.Heartbeat, and at once when a signal about the execution arrives.
// expiresAt is when the lease expires if it is not renewed, by this machine's monotonic clock. A renewal that is not
// answered within half of Config.Heartbeat is repeated, so that one call that hangs does not use up the lease.
//
// The heartbeat calls cancelJob with errCanceled when the execution was canceled, and with execution.ErrLeaseLost when
// another attempt has the execution or the lease expired. After a panic it renews no more and ends the job.
func (a *attempt) startHeartbeat(jobCtx context.Context, cancelJob context.CancelCauseFunc, expiresAt time.Time) *heartbeat {
	// The lease is renewed until the result is written, also when the job has been canceled before.
	ctx, stop := context.WithCancel(context.WithoutCancel(jobCtx))
	h := &heartbeat{attempt: a, cancelJob: cancelJob, stop: stop, done: make(chan struct{})}
	signaled, unsubscribe := a.executor.signals.Subscribe(a.execution.Ref())
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

// run returns why the job must end, or nil when ctx has ended.
func (h *heartbeat) run(ctx context.Context, expiresAt time.Time, signaled <-chan struct{}) (err error) {
	defer supervise.RecoverTo(&err)
	lease, interval := h.executor.config.Lease, h.executor.config.Heartbeat
	renewTimer := time.NewTimer(interval)
	defer renewTimer.Stop()
	// expiresAt counts from before the request, so the executor never believes in a lease that has expired in the store.
	expiryTimer := time.NewTimer(time.Until(expiresAt))
	defer expiryTimer.Stop()
	publishedCount := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-expiryTimer.C:
			h.log.Error("lease expired before it was renewed; ending the job")
			return execution.ErrLeaseLost
		case <-renewTimer.C:
		case <-signaled:
		}
		renewStartedAt := time.Now()
		steps, count := h.steps.snapshot()
		// A store that does not answer must not hide that the lease expires.
		change, err := h.renew(ctx, min(interval/2, time.Until(expiresAt)), steps)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			expiresAt = renewStartedAt.Add(lease)
			expiryTimer.Reset(time.Until(expiresAt))
			renewTimer.Reset(interval - time.Since(renewStartedAt))
			if count > publishedCount { // for clients that watch the steps
				h.executor.publish(ctx, change, h.log)
				publishedCount = count
			}
			if change.Execution.CancelRequested {
				h.cancelJob(errCanceled)
			}
		case store.IsRejection(err):
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
