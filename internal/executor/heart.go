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
type heart struct {
	executor  *Executor
	execution *execution.Execution
	seen      *steps
	end       context.CancelCauseFunc // of the job
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
func (x *Executor) startHeart(job context.Context, e *execution.Execution, expires time.Time, seen *steps, end context.CancelCauseFunc, log *zap.Logger) *heart {
	// The lease is renewed until the verdict is written, also when the job was ended before.
	ctx, stop := context.WithCancel(context.WithoutCancel(job))
	h := &heart{executor: x, execution: e, seen: seen, end: end, log: log, stop: stop, done: make(chan struct{})}
	poked, forget := x.running.Enter(e.Ref())
	go func() {
		defer close(h.done)
		defer forget()
		if err := h.beat(ctx, expires, poked); err != nil {
			end(err)
		}
	}()
	return h
}

func (h *heart) wait() {
	h.stop()
	<-h.done
}

// beat returns why the job has to end; nil once ctx has.
func (h *heart) beat(ctx context.Context, expires time.Time, poked <-chan struct{}) (err error) {
	defer supervise.Panic(&err)
	lease, interval := h.executor.config.Lease, h.executor.config.Heartbeat
	beat := time.NewTimer(interval)
	defer beat.Stop()
	// The lease counts from before it was asked for, so it never seems longer
	// here than it is in the store.
	expiry := time.NewTimer(time.Until(expires))
	defer expiry.Stop()
	told := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-expiry.C:
			h.log.Error("lease ran out unrenewed; ending the job")
			return execution.ErrLeaseLost
		case <-beat.C:
		case <-poked:
		}
		asked := time.Now()
		shown, count := h.seen.newest()
		// A store that does not answer must not hide the end of the lease.
		change, err := h.renew(ctx, min(interval/2, time.Until(expires)), shown)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			expires = asked.Add(lease)
			expiry.Reset(time.Until(expires))
			beat.Reset(interval - time.Since(asked))
			if count > told { // somebody may watch
				h.executor.tell(ctx, change, h.log)
				told = count
			}
			if change.Execution.CancelRequested {
				h.end(errCanceled)
			}
		case answered(err) || errors.Is(err, execution.ErrLeaseLost):
			return execution.ErrLeaseLost
		default:
			h.log.Warn("could not renew the lease", zap.Error(err))
			beat.Reset(interval/2 - time.Since(asked))
		}
	}
}

func (h *heart) renew(ctx context.Context, patience time.Duration, shown []execution.Step) (execution.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return h.executor.apply(ctx, h.execution.Ref(), execution.Renewed{Attempt: h.execution.Attempt, Lease: h.executor.config.Lease, Steps: shown})
}
