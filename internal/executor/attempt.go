package executor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// callTimeout bounds each call of the store and the queue.
const callTimeout = 5 * time.Second

// attempt is one attempt to run an execution: what it needs, and what it has done so far.
type attempt struct {
	executor  *Executor
	execution *execution.Execution // as claimed
	log       *zap.Logger
	steps     *stepBuffer

	engineSick bool              // the job did not begin because the Engine starts nothing
	startedAt  time.Time         // when the claim returned
	preparedAt time.Time         // when the job was ready for the sandbox
	run        *agentruntime.Run // nil before that
	outcome    sandbox.Outcome
	ending     execution.Ending  // how the job ended; if Airlock failed, only its Usage counts
	fullResult *execution.Result // complete, where ending.Result may be truncated
}

// pullLane pulls as many notifications as the lane has free slots, and starts an attempt for each. A notification whose
// slot the other lane has taken in the meantime goes back to the queue for another executor.
func (x *Executor) pullLane(ctx, workCtx context.Context, lane execution.Lane, stopPulling context.CancelCauseFunc) error {
	for {
		free, err := x.slots.await(ctx, lane)
		if err != nil {
			return err
		}
		notifications, err := x.config.Queue.Pull(ctx, lane, free)
		if err != nil {
			return err
		}
		for _, n := range notifications {
			if ctx.Err() != nil || !x.slots.take(lane) {
				x.nack(workCtx, n)
				continue
			}
			x.attempts.Go(func() {
				releaseSlot := sync.OnceFunc(func() { x.slots.release(lane) })
				defer releaseSlot()
				x.runAttempt(workCtx, n, releaseSlot, stopPulling)
			})
		}
	}
}

// runAttempt makes one attempt, from the notification to the published result. It calls releaseSlot when the job has
// ended, so the next job can start while this result is written. It keeps the slot if as many results as slots are
// already being written. It calls stopPulling when the Engine does not answer or does not start sandboxes.
func (x *Executor) runAttempt(workCtx context.Context, n queue.Notification, releaseSlot func(), stopPulling context.CancelCauseFunc) {
	log := x.config.Log.With(zap.String("execution", n.Ref.ID), zap.String("tenant", n.Ref.Tenant))
	defer supervise.RecoverLog(log, "attempt panicked; the execution is retried when its lease expires")
	failpoint.Hit(failpoint.Pulled)
	claimedAt := time.Now()
	e := x.claim(workCtx, n, log)
	if e == nil {
		return
	}
	workCtx, telemetry := x.startTelemetry(workCtx, e, claimedAt)
	defer telemetry.end()
	log = log.With(zap.Int("attempt", e.Attempt), trace.LogField(workCtx))
	log.Info("running", zap.String("runtime", e.Task.Runtime))

	a := &attempt{executor: x, execution: e, log: log, startedAt: time.Now()}
	a.steps = &stepBuffer{notify: func() { x.signals.Notify(e.Ref()) }}
	jobCtx, cancelJob := context.WithCancelCause(workCtx)
	heartbeat := a.startHeartbeat(jobCtx, cancelJob, claimedAt.Add(x.config.Lease))
	defer heartbeat.stopAndWait() // also after a panic, or the lease would be renewed for ever

	err := a.runJob(jobCtx)
	failpoint.Hit(failpoint.JobFinished)
	a.recordStart(err, stopPulling)
	event := a.classify(err)
	telemetry.recordOutcome(event, err, a)
	if _, failed := event.(execution.AttemptFailed); failed {
		x.checkEngine(workCtx, stopPulling)
	}
	if x.finishSem.TryAcquire(1) {
		defer x.finishSem.Release(1)
		releaseSlot()
	}
	change, written := a.finish(jobCtx, event)
	cancelJob(nil)
	heartbeat.stopAndWait()
	if !written {
		return
	}

	failpoint.Hit(failpoint.ResultWritten)
	log.Info("attempt finished", zap.String("status", string(change.Execution.Status)), zap.NamedError("cause", err))
	x.publish(workCtx, change, log)
	failpoint.Hit(failpoint.Published)
	if change.Execution.Status.Terminal() {
		telemetry.recordFinish(&change.Execution)
		x.config.OnFinished(change.Execution)
	}
}

// claim returns the execution with a lease of this executor, or nil if there is nothing to run. It acknowledges the
// notification as soon as the store has answered: from then on the lease says whose the execution is, and the janitor
// finds it when the lease expires. When the store did not answer, or this executor cannot start the runtime at present,
// the notification goes back to the queue.
func (x *Executor) claim(ctx context.Context, n queue.Notification, log *zap.Logger) *execution.Execution {
	claimed, err := x.apply(ctx, n.Ref, execution.Claimed{
		Executor: x.config.Name, ClaimID: rand.Text(), Lease: x.config.Lease, UnavailableRuntimes: x.health.unavailableRuntimes(),
	})
	switch {
	case err == nil:
		failpoint.Hit(failpoint.Claimed)
		n.Acknowledge()
		return &claimed.Execution
	case errors.Is(err, execution.ErrRuntimeUnavailable):
		log.Debug("left to another executor", zap.Error(err))
		x.nack(ctx, n)
	case store.IsRejection(err):
		log.Debug("nothing to run", zap.Error(err))
		n.Acknowledge()
	default:
		log.Warn("could not claim", zap.Error(err))
		x.nack(ctx, n)
	}
	return nil
}

// nack gives a notification back to the queue. If that fails, Pub/Sub delivers it again a little later.
func (x *Executor) nack(ctx context.Context, n queue.Notification) {
	if err := n.Nack(ctx); err != nil {
		x.config.Log.Warn("could not nack the notification", zap.String("execution", n.Ref.ID), zap.String("tenant", n.Ref.Tenant), zap.Error(err))
	}
}

// runJob prepares the job, runs it, and stores its artifacts; a.ending says how the job ended. An error means that
// Airlock could not do its part, or it is the cause for which ctx ended. A panic over the job's data counts as such
// an error.
func (a *attempt) runJob(ctx context.Context) (err error) {
	defer supervise.RecoverTo(&err)
	x := a.executor
	if err := a.loadTask(ctx); err != nil {
		return causeOr(ctx, fmt.Errorf("read the task: %w", err))
	}
	run, failure := x.config.Runtimes.Prepare(ctx, a.execution)
	if failure != nil {
		a.ending = failure.Ending(execution.Usage{})
		return nil
	}
	a.run, a.preparedAt = run, time.Now()
	run.OnStep(a.steps.add)

	a.outcome, err = x.config.Sandbox.Run(ctx, run.Job)
	a.ending.Usage = a.usage()
	if err != nil {
		return err
	}
	defer a.outcome.Close() // its error is ignored: it leaks a file descriptor, and the result is complete

	a.ending = a.parseOutcome()
	a.fullResult = a.ending.Result
	if err := a.storeArtifacts(ctx); err != nil {
		return causeOr(ctx, fmt.Errorf("store artifacts: %w", err))
	}
	return nil
}

// causeOr returns the cause for which ctx ended, or err if it has not.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// loadTask reads the parts of the task that are not in the execution's document: the input files, and the messages and
// the transcript of the conversation.
func (a *attempt) loadTask(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	e, tasks := a.execution, a.executor.config.Tasks
	if len(e.Task.InputFileList) > 0 {
		if e.Task.InputFiles, err = tasks.InputFiles(ctx, e.Ref()); err != nil {
			return err
		}
	}
	if e.ConversationID == "" {
		return nil
	}
	messages, err := tasks.Messages(ctx, e.Tenant, e.ConversationID, e.Turn, conversation.MaxHistory)
	if err != nil {
		return err
	}
	e.Task.History = conversation.History(messages)
	e.Task.Transcript, err = tasks.Transcript(ctx, e.Tenant, e.ConversationID)
	return err
}

// parseOutcome returns how the job ended.
func (a *attempt) parseOutcome() execution.Ending {
	e := a.execution
	result, failure := a.run.ParseOutcome(a.outcome)
	if failure != nil {
		return failure.Ending(a.usage())
	}
	if e.Task.Schema == conversation.BuilderSchema {
		*result = conversation.ParseBuilderAnswer(*result)
	}
	ending := execution.Ending{Status: execution.Succeeded, Result: result, Usage: a.usage()}
	if e.ConversationID != "" {
		ending.NewTranscript = a.run.ExtractTranscript(a.outcome)
	}
	return ending
}

// usage returns what the job used: of the model, as the gateway counted it, and of its sandbox.
func (a *attempt) usage() execution.Usage {
	usage := a.run.Usage()
	usage.OOMKills = a.outcome.OOMKills
	return usage
}

// storeArtifacts uploads the output files of the job, and its result if that is too large for the document, and puts
// their names into a.ending. The ending is written afterwards, so a name never exists without its content. An attempt
// that dies in between leaves contents without a name; they are deleted together with the execution.
func (a *attempt) storeArtifacts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeArtifactsTimeout)
	defer cancel()
	ending := &a.ending
	var contents []io.ReadSeeker
	ending.Files, contents, ending.OmittedFileCount = outputFiles(a.outcome)

	uploads, ctx := errgroup.WithContext(ctx)
	uploads.SetLimit(maxConcurrentUploads)
	for i, content := range contents {
		uploads.Go(func() (err error) {
			defer supervise.RecoverTo(&err)
			ending.Files[i].Content, err = a.upload(ctx, blob.FileKey(a.execution, i), content)
			return err
		})
	}
	if r := ending.Result; r != nil && r.Large() {
		uploads.Go(func() (err error) {
			defer supervise.RecoverTo(&err)
			text, err := encodeResult(r)
			if err != nil {
				return err
			}
			complete, err := a.upload(ctx, blob.ResultKey(a.execution), bytes.NewReader(text))
			ending.Result = r.Truncate(complete)
			return err
		})
	}
	return uploads.Wait()
}

// classify returns the event that the end of the job means for the execution. It is nil when the lease is lost: the
// attempt may not change the execution any more.
func (a *attempt) classify(err error) execution.Event {
	number := a.execution.Attempt
	finished := func(ending execution.Ending) execution.Event {
		ending.Receipt = a.writeReceipt(ending)
		ending.Steps, _ = a.steps.snapshot()
		return execution.JobEnded{Attempt: number, Ending: ending}
	}
	switch {
	case err == nil:
		return finished(a.ending)
	case errors.Is(err, errCanceled):
		return finished(execution.NewCanceledFailure().Ending(a.ending.Usage))
	case errors.Is(err, errShutdown):
		return execution.HandedBack{Attempt: number, Usage: a.ending.Usage}
	case errors.Is(err, execution.ErrLeaseLost):
		return nil
	case errors.Is(err, sandbox.ErrInvalidJob):
		failure := &execution.Failure{Code: execution.CodeInvalidTask, Message: "No sandbox can run this task: " + err.Error() + "."}
		return finished(failure.Ending(a.ending.Usage))
	case !a.began():
		return a.startFailed(err)
	default:
		return execution.AttemptFailed{Attempt: number, Usage: a.ending.Usage}
	}
}

// began reports whether the sandbox acknowledged the job: its agent was started.
func (a *attempt) began() bool { return !a.outcome.Record.Times.AgentStarted.IsZero() }

// startFailed returns the event for a job that did not begin because of err.
func (a *attempt) startFailed(err error) execution.StartFailed {
	event := execution.StartFailed{
		Attempt: a.execution.Attempt, Usage: a.ending.Usage, Reason: "Airlock could not prepare the job", EngineSick: a.engineSick,
	}
	var failed *sandbox.StartError
	if errors.As(err, &failed) {
		event.Reason, event.ImageFailed = failed.Cause.Message(), failed.Cause.OfImage()
	}
	return event
}

// writeReceipt returns the receipt of the attempt, encoded and signed; empty if it cannot be written. The execution
// does not fail because of that, also not by a panic: the job is done, and would run again.
func (a *attempt) writeReceipt(ending execution.Ending) string {
	config := a.executor.config
	facts := receipt.Facts{
		Execution: a.execution, Ending: ending, Result: a.fullResult, Executor: config.Name, Claimed: a.startedAt, Outcome: a.outcome,
	}
	if a.run != nil {
		facts.Job, facts.Model, facts.Egress = a.run.Job, a.run.Model, a.run.Egress()
	}
	encoded, err := func() (encoded string, err error) {
		defer supervise.RecoverTo(&err)
		return receipt.Marshal(receipt.New(facts), config.ReceiptKey)
	}()
	if err != nil {
		a.log.Error("could not write the receipt", zap.Error(err))
	}
	return encoded
}

// finish writes the event that ends the attempt. It repeats the call for as long as a lease lasts. If the event was
// written and only the answer was lost, the next call finds an execution that ended with this attempt.
func (a *attempt) finish(ctx context.Context, event execution.Event) (change execution.Change, written bool) {
	if event == nil {
		a.log.Warn("lease lost; another attempt has the execution")
		return execution.Change{}, false
	}
	ctx, span := trace.StartChild(ctx, "finish")
	defer span.End()
	// The context of the job may have ended, for a reason that the event contains. What bounds the write is the lease.
	leaseCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.executor.config.Lease)
	defer cancel()
	mayBeWritten := false
	change, err := retryUntilDeadline(leaseCtx, func() (execution.Change, error) {
		change, err := a.executor.apply(leaseCtx, a.execution.Ref(), event)
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
	if err != nil {
		markSpanFailed(span, "not written")
		a.log.Error("could not write the result; the execution will run again", zap.Error(err))
	}
	return change, err == nil
}

// publish publishes the notifications and signals of a change. If that fails, the janitor publishes the notifications
// again, and watchers read the execution again by themselves.
func (x *Executor) publish(ctx context.Context, ch execution.Change, log *zap.Logger) {
	if err := x.config.Queue.Publish(ctx, ch); err != nil {
		log.Warn("could not publish the notifications of a change", zap.Error(err))
	}
}

func (x *Executor) apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return x.config.Executions.Apply(ctx, ref, ev)
}

// retryUntilDeadline calls f until it returns no error or a permanent one, with a growing back-off. It gives up
// early, with the error of f, when the next call would come after the deadline of ctx.
func retryUntilDeadline[T any](ctx context.Context, f func() (T, error)) (T, error) {
	deadline, _ := ctx.Deadline()
	return backoff.Retry(ctx, f, backoff.WithMaxElapsedTime(time.Until(deadline)))
}
