package executor

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/rescue"
)

// heart renews the lease of one attempt from the claim until the verdict is
// written, and ends the job when it must end early.
type heart struct {
	stop context.CancelFunc
	done chan struct{}
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
	h := &heart{stop: stop, done: make(chan struct{})}
	poked, forget := x.running.Enter(e.Ref())
	go func() {
		defer close(h.done)
		defer forget()
		if err := h.beat(ctx, x, e, expires, seen, poked, end, log); err != nil {
			end(err)
		}
	}()
	return h
}

func (h *heart) wait() {
	h.stop()
	<-h.done
}

func (h *heart) beat(ctx context.Context, x *Executor, e *execution.Execution, expires time.Time, seen *steps, poked <-chan struct{}, end context.CancelCauseFunc, log *zap.Logger) (err error) {
	defer rescue.Panic(&err)
	beat := time.NewTimer(x.config.Heartbeat)
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
			log.Error("lease ran out unrenewed; ending the job")
			return execution.ErrLeaseLost
		case <-beat.C:
		case <-poked:
		}
		asked := time.Now()
		// A store that does not answer must not hide the end of the lease.
		renewal, cancel := context.WithTimeout(ctx, min(x.config.Heartbeat/2, time.Until(expires)))
		shown, count := seen.newest()
		change, err := x.apply(renewal, e.Ref(), execution.Renewed{Attempt: e.Attempt, Lease: x.config.Lease, Steps: shown})
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			expires = asked.Add(x.config.Lease)
			expiry.Reset(time.Until(expires))
			beat.Reset(x.config.Heartbeat - time.Since(asked))
			if count > told { // somebody may watch
				x.tell(ctx, change, log)
				told = count
			}
			if change.Execution.CancelRequested {
				end(errCanceled)
			}
		case answered(err) || errors.Is(err, execution.ErrLeaseLost):
			return execution.ErrLeaseLost
		default:
			log.Warn("could not renew the lease", zap.Error(err))
			beat.Reset(x.config.Heartbeat/2 - time.Since(asked))
		}
	}
}
