package executor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// watch ends the job of the attempt early when that is necessary, until ctx ends: with execution.ErrLeaseLost when the
// session is lost, and with errCanceled when the execution was canceled. signaled receives after each signal about the
// execution. It must have been subscribed to before the claim, so that no cancellation is missed.
func (a *attempt) watch(ctx context.Context, signaled <-chan struct{}, cancelJob context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.session.Lost():
			cancelJob(execution.ErrLeaseLost)
			return
		case <-signaled:
			canceled, err := a.isCanceled(ctx)
			if canceled {
				cancelJob(errCanceled)
			}
			if err != nil && ctx.Err() == nil { // the janitor sends the signal again
				a.log.Warn("could not read whether the execution was canceled", zap.Error(err))
			}
		}
	}
}

// isCanceled reads the execution: a signal only says that something may have changed.
func (a *attempt) isCanceled(ctx context.Context) (canceled bool, err error) {
	defer supervise.RecoverTo(&err)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	e, err := a.executor.config.Tasks.Execution(ctx, a.execution.Ref())
	return err == nil && e.CancelRequested, err
}

// writeTimeout bounds how long an attempt tries to write how it has ended. It is part of the time that an attempt may
// take besides its job; see Overdue in package execution.
const writeTimeout = time.Minute

// write writes the event that ends the attempt. It repeats the call until writeTimeout is over or the session is lost:
// then another attempt has the execution. If the event was written and only the answer was lost, the next call finds an
// execution that ended with this attempt.
func (a *attempt) write(ctx context.Context, event execution.Event) (execution.Change, error) {
	// The context of the job may have ended, for a reason that the event contains.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	defer a.whenLost(cancel)()
	mayBeWritten := false
	return retryUntilDeadline(ctx, func() (execution.Change, error) {
		change, err := a.executor.apply(ctx, a.execution.Ref(), event)
		switch {
		case err == nil, mayBeWritten && errors.Is(err, execution.ErrTerminal) && change.Execution.Attempt == a.execution.Attempt:
			return change, nil
		case errors.Is(err, store.ErrUnavailable):
			mayBeWritten = true
			return change, err
		default:
			return change, backoff.Permanent(err)
		}
	})
}

// whenLost calls f when the session is lost, unless stop is called before.
func (a *attempt) whenLost(f func()) (stop func()) {
	stopped := make(chan struct{})
	go func() {
		select {
		case <-a.session.Lost():
			f()
		case <-stopped:
		}
	}()
	return sync.OnceFunc(func() { close(stopped) })
}

// abandonUnlessEnded fails an attempt that panicked, whose result could not be written, or whose session is lost.
// Otherwise its execution would be running for as long as the session lasts. When that is lost, the leader does the
// same. But somebody may have deleted the session, and then only this executor knows what it held.
func (a *attempt) abandonUnlessEnded(ctx context.Context) {
	if a.ended {
		return
	}
	var change execution.Change
	var err error
	if a.session.Live() {
		change, err = a.write(ctx, execution.AttemptFailed{
			Session: a.session.ID, Attempt: a.execution.Attempt, StartDelay: a.startDelay(), Usage: a.ending.Usage,
		})
	} else {
		change, err = a.executor.apply(context.WithoutCancel(ctx), a.execution.Ref(), execution.LeaseExpired{Session: a.session.ID})
	}
	switch {
	case err == nil:
		a.executor.publish(ctx, change, a.log)
		a.executor.retryAfterBackoff(ctx, change, a.log)
	case store.IsRejection(err): // another attempt has the execution, or it has ended
	default:
		a.log.Error("could not end the attempt; the execution runs again when its session is reaped, or it is due", zap.Error(err))
	}
}

// retryAfterBackoff publishes an execution again when its back-off is over. The janitor would do it a little later, and
// does it if this process ends before.
func (x *Executor) retryAfterBackoff(ctx context.Context, change execution.Change, log *zap.Logger) {
	e := &change.Execution
	if e.Status != execution.Queued || e.Ready || e.Due == nil {
		return
	}
	go func() {
		defer supervise.RecoverLog(log, "retry panicked; the janitor publishes the execution")
		select {
		case <-ctx.Done():
			return
		case <-time.After(e.Due.Sub(change.At)):
		}
		retried, err := x.apply(ctx, e.Ref(), execution.Overdue{})
		switch {
		case err == nil:
			x.publish(ctx, retried, log)
		case !store.IsRejection(err):
			log.Warn("could not end the back-off; the janitor will", zap.Error(err))
		}
	}()
}

// inFlight counts attempts. Its zero value has none.
type inFlight struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n becomes 0; nil while n is 0
}

// run runs f in a goroutine.
func (i *inFlight) run(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.n++; i.n == 1 {
		i.idle = make(chan struct{})
	}
	go func() {
		defer i.done()
		f()
	}()
}

func (i *inFlight) done() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.n--; i.n == 0 {
		close(i.idle)
		i.idle = nil
	}
}

// wait waits until no attempt is in flight, or ctx ends.
func (i *inFlight) wait(ctx context.Context) {
	i.mu.Lock()
	idle := i.idle
	i.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-idle:
	}
}
