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
func (x *Executor) handle(work context.Context, a queue.Announcement, release func(), engineGone context.CancelCauseFunc) {
	log := x.log.With(zap.String("execution", a.Ref.ID), zap.String("tenant", a.Ref.Owner))
	defer supervise.Log(log, "an attempt broke off; another one has the execution when its lease runs out")
	failpoint.At(failpoint.Pulled)
	asked := time.Now()
	e := x.claim(work, a, log)
	if e == nil {
		return
	}
	work, counted := x.count(work, e, asked)
	defer counted.over()
	log = log.With(zap.Int("attempt", e.Attempt), trace.ID(work))
	log.Info("running", zap.String("runtime", e.Task.Runtime))

	job, stop := context.WithCancelCause(work)
	seen := &steps{show: func() { x.running.Wake(e.Ref()) }}
	heart := x.startHeart(job, e, asked.Add(x.config.Lease), seen, stop, log)
	defer heart.wait() // also after a panic, or it would keep the lease for ever
	done, err := x.perform(job, e, seen)
	failpoint.At(failpoint.Performed)
	verdict := judge(e, done.ending, err)
	if finished, ok := verdict.(execution.Finished); ok {
		finished.Ending.Receipt = x.receipt(e, finished.Ending, done, log)
		finished.Ending.Steps, _ = seen.newest()
		verdict = finished
	}
	counted.judged(verdict, done)
	if _, broke := verdict.(execution.Broke); broke {
		x.lookAtEngine(work, engineGone)
	}
	if x.endings.TryAcquire(1) {
		defer x.endings.Release(1)
		release()
	}
	change, settled := x.settle(job, e, verdict, log)
	stop(nil)
	heart.wait()

	if settled {
		failpoint.At(failpoint.Settled)
		log.Info("settled", zap.String("status", string(change.Execution.Status)), zap.NamedError("cause", err))
		x.tell(work, change, log)
		failpoint.At(failpoint.Told)
		if change.Execution.Status.Terminal() {
			counted.ended(&change.Execution)
			x.ended(change.Execution)
		}
	}
}

// claim returns the execution that is this executor's from now on; nil where
// there is none to run. It acknowledges with the claim's answer: from then on the
// lease says whose the execution is, and the janitor finds it when nobody's. What
// it could not look at it has not changed, and gives back.
func (x *Executor) claim(ctx context.Context, a queue.Announcement, log *zap.Logger) *execution.Execution {
	claimed, err := x.apply(ctx, a.Ref, execution.Claimed{Executor: x.config.Name, ID: rand.Text(), Lease: x.config.Lease})
	switch {
	case err == nil:
		failpoint.At(failpoint.Claimed)
		a.Acknowledge()
		return &claimed.Execution
	case answered(err):
		log.Debug("nothing to run", zap.Error(err))
		a.Acknowledge()
	default:
		log.Warn("could not claim", zap.Error(err))
		x.giveBack(ctx, a)
	}
	return nil
}

// giveBack may fail: the announcement then comes again a little later.
func (x *Executor) giveBack(ctx context.Context, a queue.Announcement) {
	if err := a.GiveBack(ctx); err != nil {
		x.log.Warn("could not give back", zap.String("execution", a.Ref.ID), zap.String("tenant", a.Ref.Owner), zap.Error(err))
	}
}

// answered reports whether an error of Apply is an answer about the execution:
// there is nothing to do for it, now or on a repeated announcement.
func answered(err error) bool {
	var notFound *store.NotFoundError
	return errors.Is(err, execution.ErrTerminal) || errors.Is(err, execution.ErrLeased) || errors.Is(err, execution.ErrTooLate) || errors.Is(err, execution.ErrHeld) ||
		errors.Is(err, store.ErrNotItsTurn) || errors.As(err, &notFound)
}

// lookAtEngine stops the pulling when a fault was for want of an Engine.
func (x *Executor) lookAtEngine(ctx context.Context, engineGone context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := x.sandbox.Ping(ctx); err != nil {
		engineGone(err)
	}
}

// judge says what the end of the job means for the execution; nil when the
// attempt has no right to say anything any more.
func judge(e *execution.Execution, ending execution.Ending, err error) execution.Event {
	switch {
	case err == nil:
		return execution.Finished{Attempt: e.Attempt, Ending: ending}
	case errors.Is(err, errCanceled):
		return execution.Finished{Attempt: e.Attempt, Ending: execution.Cancellation().Ends(ending.Usage)}
	case errors.Is(err, errShutdown):
		return execution.HandedBack{Attempt: e.Attempt, Usage: ending.Usage}
	case errors.Is(err, execution.ErrLeaseLost):
		return nil
	default:
		return execution.Broke{Attempt: e.Attempt, Usage: ending.Usage}
	}
}

// settle writes the verdict on an attempt at e, and keeps trying for as long as
// a lease lasts. If it was written and only the answer was lost, the repetition
// finds that the execution ended with this attempt.
func (x *Executor) settle(ctx context.Context, e *execution.Execution, verdict execution.Event, log *zap.Logger) (execution.Change, bool) {
	if verdict == nil {
		log.Warn("lease lost; another attempt has the execution")
		return execution.Change{}, false
	}
	ctx, span := trace.Child(ctx, "settle")
	defer span.End()
	// The job's context may have ended, for a reason that the verdict knows;
	// what bounds the writing is the lease.
	held, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.config.Lease)
	defer cancel()
	unsure := false
	change, err := backoff.Retry(held, func() (execution.Change, error) {
		change, err := x.apply(held, e.Ref(), verdict)
		switch {
		case err == nil, unsure && errors.Is(err, execution.ErrTerminal) && change.Execution.Attempt == e.Attempt:
			return change, nil
		case errors.Is(err, store.ErrUnavailable):
			unsure = true
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
func (x *Executor) tell(ctx context.Context, ch execution.Change, log *zap.Logger) {
	if err := x.queue.Tell(ctx, ch); err != nil {
		log.Warn("could not tell of a change", zap.Error(err))
	}
}
