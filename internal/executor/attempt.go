package executor

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/codes"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// callTimeout bounds every single call of the store and the queue.
const callTimeout = 5 * time.Second

// handle takes one announcement from the claim to the end. It calls release when
// the job is over, so that the next begins while the end of this one is written,
// unless there are as many ends to write as slots; and engineGone when there is
// no Engine to run anything on.
func (x *Executor) runAttempt(workCtx context.Context, notification queue.Notification, releaseSlot func(), stopPulling context.CancelCauseFunc) {
	log := x.log.With(zap.String("execution", notification.Ref.ID), zap.String("tenant", notification.Ref.Tenant))
	defer supervise.RecoverLog(log, "an attempt broke off; another one has the execution when its lease runs out")
	failpoint.Hit(failpoint.Pulled)
	claimedAt := time.Now()
	e := x.claim(workCtx, notification, log)
	if e == nil {
		return
	}
	workCtx, telemetry := x.startTelemetry(workCtx, e, claimedAt)
	defer telemetry.end()
	log = log.With(zap.Int("attempt", e.Attempt), trace.LogField(workCtx))
	log.Info("running", zap.String("runtime", e.Task.Runtime))

	jobCtx, cancelJob := context.WithCancelCause(workCtx)
	steps := &stepBuffer{notify: func() { x.signals.Notify(e.Ref()) }}
	heartbeat := x.startHeartbeat(jobCtx, e, claimedAt.Add(x.config.Lease), steps, cancelJob, log)
	defer heartbeat.stopAndWait() // also after a panic, or it would keep the lease for ever
	run, err := x.runJob(jobCtx, e, steps)
	failpoint.Hit(failpoint.JobFinished)
	event := classify(e, run.ending, err)
	if finished, ok := event.(execution.Finished); ok {
		finished.Ending.Receipt = x.writeReceipt(e, finished.Ending, run, log)
		finished.Ending.Steps, _ = steps.snapshot()
		event = finished
	}
	telemetry.recordOutcome(event, run)
	if _, failed := event.(execution.AttemptFailed); failed {
		x.inspectEngine(workCtx, stopPulling)
	}
	if x.finishSem.TryAcquire(1) {
		defer x.finishSem.Release(1)
		releaseSlot()
	}
	change, written := x.finish(jobCtx, e, event, log)
	cancelJob(nil)
	heartbeat.stopAndWait()

	if written {
		failpoint.Hit(failpoint.ResultWritten)
		log.Info("settled", zap.String("status", string(change.Execution.Status)), zap.NamedError("cause", err))
		x.publish(workCtx, change, log)
		failpoint.Hit(failpoint.Published)
		if change.Execution.Status.Terminal() {
			telemetry.recordFinish(&change.Execution)
			x.onFinished(change.Execution)
		}
	}
}

// claim returns the execution that is this executor's from now on; nil where
// there is none to run. It acknowledges with the claim's answer: from then on the
// lease says whose the execution is, and the janitor finds it when nobody's. What
// it could not look at it has not changed, and gives back.
func (x *Executor) claim(ctx context.Context, notification queue.Notification, log *zap.Logger) *execution.Execution {
	claimed, err := x.apply(ctx, notification.Ref, execution.Claimed{Executor: x.config.Name, ClaimID: rand.Text(), Lease: x.config.Lease})
	switch {
	case err == nil:
		failpoint.Hit(failpoint.Claimed)
		notification.Acknowledge()
		return &claimed.Execution
	case isRejection(err):
		log.Debug("nothing to run", zap.Error(err))
		notification.Acknowledge()
	default:
		log.Warn("could not claim", zap.Error(err))
		x.nack(ctx, notification)
	}
	return nil
}

// giveBack may fail: the announcement then comes again a little later.
func (x *Executor) nack(ctx context.Context, notification queue.Notification) {
	if err := notification.Nack(ctx); err != nil {
		x.log.Warn("could not give back", zap.String("execution", notification.Ref.ID), zap.String("tenant", notification.Ref.Tenant), zap.Error(err))
	}
}

// answered reports whether an error of Apply is an answer about the execution:
// there is nothing to do for it, now or on a repeated announcement.
func isRejection(err error) bool {
	var notFound *store.NotFoundError
	return errors.Is(err, execution.ErrTerminal) || errors.Is(err, execution.ErrLeased) || errors.Is(err, execution.ErrStartDeadlineExceeded) || errors.Is(err, execution.ErrThrottled) ||
		errors.Is(err, store.ErrEarlierTurnPending) || errors.As(err, &notFound)
}

// lookAtEngine stops the pulling when a fault was for want of an Engine.
func (x *Executor) inspectEngine(ctx context.Context, stopPulling context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := x.sandbox.Ping(ctx); err != nil {
		stopPulling(err)
	}
}

// judge says what the end of the job means for the execution; nil when the
// attempt has no right to say anything any more.
func classify(e *execution.Execution, ending execution.Ending, err error) execution.Event {
	switch {
	case err == nil:
		return execution.Finished{Attempt: e.Attempt, Ending: ending}
	case errors.Is(err, errCanceled):
		return execution.Finished{Attempt: e.Attempt, Ending: execution.NewCanceledFailure().Ending(ending.Usage)}
	case errors.Is(err, errShutdown):
		return execution.HandedBack{Attempt: e.Attempt, Usage: ending.Usage}
	case errors.Is(err, execution.ErrLeaseLost):
		return nil
	default:
		return execution.AttemptFailed{Attempt: e.Attempt, Usage: ending.Usage}
	}
}

// settle writes the verdict on an attempt at e, and keeps trying for as long as
// a lease lasts. If it was written and only the answer was lost, the repetition
// finds that the execution ended with this attempt.
func (x *Executor) finish(ctx context.Context, e *execution.Execution, event execution.Event, log *zap.Logger) (execution.Change, bool) {
	if event == nil {
		log.Warn("lease lost; another attempt has the execution")
		return execution.Change{}, false
	}
	ctx, span := trace.StartChild(ctx, "settle")
	defer span.End()
	// The job's context may have ended, for a reason that the verdict knows;
	// what bounds the writing is the lease.
	leaseCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.config.Lease)
	defer cancel()
	mayBeWritten := false
	change, err := backoff.Retry(leaseCtx, func() (execution.Change, error) {
		change, err := x.apply(leaseCtx, e.Ref(), event)
		switch {
		case err == nil, mayBeWritten && errors.Is(err, execution.ErrTerminal) && change.Execution.Attempt == e.Attempt:
			return change, nil
		case errors.Is(err, store.ErrUnavailable):
			mayBeWritten = true
			return change, err
		default:
			return change, backoff.Permanent(err)
		}
	}, backoff.WithMaxElapsedTime(x.config.Lease))
	if err != nil {
		span.SetStatus(codes.Error, "not written")
		log.Error("could not write how the execution ended; it will run again", zap.Error(err))
	}
	return change, err == nil
}

func (x *Executor) apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return x.store.Apply(ctx, ref, ev)
}

// tell passes a change on. When it fails the janitor announces it, and who
// waits for it reads again.
func (x *Executor) publish(ctx context.Context, ch execution.Change, log *zap.Logger) {
	if err := x.queue.Publish(ctx, ch); err != nil {
		log.Warn("could not tell of a change", zap.Error(err))
	}
}
