package executor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/membership"
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
	session   membership.Session   // under which it was claimed
	execution *execution.Execution // as claimed
	log       *zap.Logger
	steps     *stepBuffer

	spans          *agentSpans
	transcript     *transcriptWriter
	stopTranscript func()

	holds      bool              // an agent for the next turn is started
	ended      bool              // the execution is not this attempt's any more
	engineSick bool              // the job did not begin because the Engine starts nothing
	startedAt  time.Time         // when the claim returned
	preparedAt time.Time         // when the job was ready for the sandbox
	run        *agentruntime.Run // nil before that
	// stored is the session of the conversation; nil: it has none.
	stored     *execution.AgentSession
	outcome    sandbox.Outcome
	ending     execution.Ending  // how the job ended; if Airlock failed, only its Usage counts
	fullResult *execution.Result // complete, where ending.Result may be truncated
}

// runAttempt makes one attempt, from the notification to the published result. It calls releaseSlot when the job has
// ended, so the next job can start while this result is written. It keeps the slot if as many results as slots are
// already being written. It calls stopPulling when the Engine does not answer or does not start sandboxes.
func (x *Executor) runAttempt(
	workCtx context.Context, session membership.Session, n queue.Notification, releaseSlot func(), stopPulling context.CancelCauseFunc,
) {
	log := x.config.Log.With(zap.String("execution", n.Ref.ID), zap.String("tenant", n.Ref.Tenant))
	defer supervise.RecoverLog(log, "attempt panicked; its execution runs again")
	failpoint.Hit(failpoint.Pulled)
	signaled, unsubscribe := x.signals.Subscribe(n.Ref)
	defer unsubscribe()
	x.yieldToHolder(workCtx, session, n)
	claimedAt := time.Now()
	e := x.claim(workCtx, session, n, log)
	if e == nil {
		return
	}
	workCtx, telemetry := x.startTelemetry(workCtx, e, claimedAt)
	defer telemetry.end()
	log = log.With(zap.Int("attempt", e.Attempt), trace.LogField(workCtx))
	log.Info("running", zap.String("runtime", e.Task.Runtime))

	a := &attempt{executor: x, session: session, execution: e, log: log, startedAt: time.Now()}
	a.steps = newStepBuffer()
	defer x.steps.add(e, a.steps)()
	a.spans = newAgentSpans(workCtx, x.config.TraceContent)
	a.beginTranscript(workCtx)
	defer a.stopTranscript()
	defer a.abandonUnlessEnded(workCtx) // after a panic as well
	defer x.nextTurns.take(conversationRef(e))()
	x.makeRoom()
	jobCtx, cancelJob := context.WithCancelCause(workCtx)
	defer cancelJob(nil)
	go a.watch(jobCtx, signaled, cancelJob)

	err := a.runJob(jobCtx)
	failpoint.Hit(failpoint.JobFinished)
	a.recordStart(err, stopPulling)
	event := a.classify(err)
	a.spans.end(e, a.answer())
	telemetry.recordOutcome(event, err, a)
	if _, failed := event.(execution.AttemptFailed); failed {
		x.checkEngine(workCtx, stopPulling)
	}
	if x.finishSem.TryAcquire(1) {
		defer x.finishSem.Release(1)
		releaseSlot()
	}
	a.endTranscript(workCtx, event)
	change, written := a.finish(jobCtx, event)
	if !written {
		return
	}

	failpoint.Hit(failpoint.ResultWritten)
	log.Info("attempt finished", zap.String("status", string(change.Execution.Status)), zap.NamedError("cause", err))
	x.publish(workCtx, change, log)
	x.retryAfterBackoff(workCtx, change, log)
	failpoint.Hit(failpoint.Published)
	a.deleteUnusedSession(workCtx, change)
	a.prepareNextTurn(workCtx, change)
	if change.Execution.Status.Terminal() {
		telemetry.recordFinish(&change.Execution)
		x.config.OnFinished(change.Execution)
	}
}

// claim returns the execution with a lease of this session, or nil if there is nothing to run. It acknowledges the
// notification as soon as the store has answered: from then on the lease says whose the execution is, and the leader
// finds it when the session expires. When the store did not answer, or this executor cannot start the runtime at
// present, the notification goes back to the queue.
func (x *Executor) claim(ctx context.Context, session membership.Session, n queue.Notification, log *zap.Logger) *execution.Execution {
	if !session.Live() {
		x.giveBack(n, n.Nack(ctx))
		return nil
	}
	claimed, err := x.applyClaim(ctx, session, n)
	switch {
	case err == nil && !session.Live():
		log.Warn("the session was lost during the claim; handing the execution back")
		x.handBack(ctx, session, &claimed.Execution, log)
		n.Acknowledge()
	case err == nil:
		failpoint.Hit(failpoint.Claimed)
		n.Acknowledge()
		return &claimed.Execution
	case errors.Is(err, execution.ErrRuntimeUnavailable):
		log.Debug("left to another executor", zap.Error(err))
		x.giveBack(n, n.Nack(ctx))
	case store.IsRejection(err):
		log.Debug("nothing to run", zap.Error(err))
		n.Acknowledge()
	default:
		log.Warn("could not claim", zap.Error(err))
		x.giveBack(n, n.Nack(ctx))
	}
	return nil
}

// applyClaim claims an execution. It repeats a claim of which it is unknown whether it took effect, for as long as the
// session lasts. Otherwise an execution could be running that nobody runs. The claim ID makes a repetition harmless.
func (x *Executor) applyClaim(ctx context.Context, session membership.Session, n queue.Notification) (execution.Change, error) {
	claim := execution.Claimed{
		Executor: x.config.Name, Session: session.ID, ClaimID: rand.Text(), Dispatcher: n.Dispatcher,
		Runtimes: x.startableRuntimes(), TranscriptBound: x.config.TranscriptRetention,
	}
	return backoff.Retry(ctx, func() (execution.Change, error) {
		claimed, err := x.apply(ctx, n.Ref, claim)
		if err != nil && (!errors.Is(err, store.ErrOutcomeUnknown) || !session.Live()) {
			err = backoff.Permanent(err)
		}
		return claimed, err
	}, backoff.WithMaxElapsedTime(0))
}

// handBack queues an execution again whose claim took effect too late. The leader may have looked for executions of the
// session before, so nobody else would find it soon.
func (x *Executor) handBack(ctx context.Context, session membership.Session, e *execution.Execution, log *zap.Logger) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	change, err := retryUntilDeadline(ctx, func() (execution.Change, error) {
		change, err := x.apply(ctx, e.Ref(), execution.HandedBack{Session: session.ID, Attempt: e.Attempt})
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			err = backoff.Permanent(err)
		}
		return change, err
	})
	switch {
	case err == nil:
		x.publish(ctx, change, log)
	case !store.IsRejection(err):
		log.Error("could not hand the execution back; it runs again when it is due", zap.Error(err))
	}
}

// startableRuntimes returns the runtimes of which this executor takes jobs now.
func (x *Executor) startableRuntimes() []string {
	return slices.DeleteFunc(x.config.Runtimes.Available(), func(name string) bool { return x.runtimes.unavailable(name) != "" })
}

// runJob prepares the job, runs it, and stores its artifacts; a.ending says how the job ended. An error means that
// Airlock could not do its part, or it is the cause for which ctx ended. A panic over the job's data counts as such
// an error.
func (a *attempt) runJob(ctx context.Context) (err error) {
	defer supervise.RecoverTo(&err)
	x := a.executor
	if err := a.loadTask(ctx); errors.Is(err, errNoVersion) {
		a.ending = (&execution.Failure{Code: execution.CodeInvalidTask, Message: "The version of the agent or of the environment does not exist any more."}).
			Ending(execution.Usage{})
		return nil
	} else if err != nil {
		return causeOr(ctx, fmt.Errorf("read the task: %w", err))
	}
	run, failure := x.config.Runtimes.Prepare(ctx, a.execution)
	if failure != nil {
		a.ending = failure.Ending(execution.Usage{})
		return nil
	}
	for _, prepare := range []prepareFiles{a.prepareWorkspace, a.prepareInputFiles} {
		release, failure, err := prepare(ctx, &run.Job)
		defer release()
		switch {
		case err != nil:
			return causeOr(ctx, fmt.Errorf("read the files of the job: %w", err))
		case failure != nil:
			a.ending = failure.Ending(execution.Usage{})
			return nil
		}
	}
	a.run, a.preparedAt = run, time.Now()
	run.OnItem(a.recordItem)
	run.OnSaying(a.steps.say)

	a.outcome, err = x.config.Sandbox.Run(ctx, run.Job)
	a.ending.Usage = a.usage()
	if err != nil {
		return err
	}
	defer a.outcome.Close() // its error is ignored: it leaks a file descriptor, and the result is complete

	if a.outcome.EndReason == sandbox.Settled {
		a.recordItem(transcript.Item{Kind: transcript.KindNotice, Text: fmt.Sprintf("The agent was ended: it had printed its result, and was "+
			"silent for %s while something ran in its background.", run.Job.SettleTime)})
	}
	a.ending = a.parseOutcome()
	a.fullResult = a.ending.Result
	// What a job left is stored as well if it was canceled.
	ctx, cancel := afterStop(ctx)
	defer cancel()
	if !a.ending.SessionRejected {
		a.storeSession(ctx)
	}
	a.storeWorkspace(ctx)
	if err := a.storeArtifacts(ctx); err != nil {
		return causeOr(ctx, fmt.Errorf("store artifacts: %w", err))
	}
	return nil
}

// stoppedUploadTime is how long the uploads of a job may take after it was canceled.
const stoppedUploadTime = 5 * time.Second

// afterStop returns a context that ends with ctx, or stoppedUploadTime later if the job is stopped.
func afterStop(ctx context.Context) (context.Context, context.CancelFunc) {
	child, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, sandbox.ErrStop) {
			select {
			case <-child.Done():
			case <-time.After(stoppedUploadTime):
			}
		}
		cancel(cause)
	})
	return child, func() { detach(); cancel(nil) }
}

// answer is what the job has answered, or had said until it was ended.
func (a *attempt) answer() string {
	if r := a.fullResult; r != nil {
		return r.Text
	}
	return a.ending.PartialText
}

// causeOr returns the cause for which ctx ended, or err if it has not.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// loadTask reads the parts of the task that are not in the execution's document: the input files, the settings of the
// agent, the environment, and the messages and the agent session of the conversation.
func (a *attempt) loadTask(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	e, tasks := a.execution, a.executor.config.Tasks
	if e.Task.StoresInputFiles() {
		if e.Task.InputFiles, err = tasks.InputFiles(ctx, e.Ref()); err != nil {
			return err
		}
	}
	if e.Task.HasSettings {
		e.Task.Settings, err = a.executor.settings.get(ctx, versionRef{e.Tenant, e.AgentID, e.AgentVersion})
		if err != nil {
			return err
		}
	}
	if ref := e.Task.Environment; !ref.IsZero() {
		env, err := a.executor.environments.get(ctx, versionRef{e.Tenant, ref.ID, ref.Version})
		if err != nil {
			return err
		}
		e.Task.Network, e.Task.Variables = env.Network, env.Variables
	}
	if e.ConversationID == "" {
		return nil
	}
	return a.loadConversation(ctx)
}

// parseOutcome returns how the job ended.
func (a *attempt) parseOutcome() execution.Ending {
	e := a.execution
	result, failure := a.run.ParseOutcome(a.outcome)
	if failure != nil {
		ending := failure.Ending(a.usage())
		ending.Network = a.run.Network()
		ending.PartialText = transcript.Mask(a.run.PartialText())
		ending.SessionRejected = a.run.SessionRejected(a.outcome)
		return ending
	}
	if e.Task.Schema == conversation.BuilderSchema {
		*result = conversation.ParseBuilderAnswer(*result)
	}
	return execution.Ending{Status: execution.Succeeded, Result: result, Usage: a.usage(), Network: a.run.Network()}
}

// usage returns what the job used: of the model, as the gateway counted it, and of its sandbox.
func (a *attempt) usage() execution.Usage {
	usage := a.run.Usage()
	usage.OOMKills = a.outcome.OOMKills
	return usage
}

// classify returns the event that the end of the job means for the execution. It is nil when the lease is lost: the
// attempt may not change the execution any more.
func (a *attempt) classify(err error) execution.Event {
	session, number := a.session.ID, a.execution.Attempt
	finished := func(ending execution.Ending) execution.Event {
		ending.Receipt = a.writeReceipt(ending)
		ending.Steps = a.steps.newest()
		ending.StartDelay = a.startDelay()
		if a.holds = a.mayHold(); a.holds {
			ending.Hold = &execution.Hold{Process: fleet.ProcessOf(session), For: a.executor.config.NextTurnHold}
		}
		return execution.JobEnded{Session: session, Attempt: number, Ending: ending}
	}
	switch {
	case err == nil:
		return finished(a.ending)
	case errors.Is(err, errCanceled):
		return finished(execution.NewCanceledFailure().Ending(a.ending.Usage))
	case errors.Is(err, errShutdown):
		return execution.HandedBack{Session: session, Attempt: number, StartDelay: a.startDelay(), Usage: a.ending.Usage}
	case errors.Is(err, execution.ErrLeaseLost):
		return nil
	case errors.Is(err, sandbox.ErrInvalidJob):
		failure := &execution.Failure{Code: execution.CodeInvalidTask, Message: "No sandbox can run this task: " + err.Error() + "."}
		return finished(failure.Ending(a.ending.Usage))
	case !a.began():
		return a.startFailed(err)
	default:
		return execution.AttemptFailed{Session: session, Attempt: number, StartDelay: a.startDelay(), Usage: a.ending.Usage}
	}
}

// began reports whether the sandbox acknowledged the job: its agent was started.
func (a *attempt) began() bool { return !a.outcome.Record.Times.AgentStarted.IsZero() }

// startDelay is the time from the claim until the sandbox acknowledged the job; 0 if it has not.
func (a *attempt) startDelay() time.Duration {
	if !a.began() {
		return 0
	}
	return max(a.outcome.Record.Times.AgentStarted.Sub(a.startedAt), time.Nanosecond)
}

// startFailed returns the event for a job that did not begin because of err.
func (a *attempt) startFailed(err error) execution.StartFailed {
	event := execution.StartFailed{
		Session: a.session.ID, Attempt: a.execution.Attempt, Usage: a.ending.Usage,
		Reason: "Airlock could not prepare the job", EngineSick: a.engineSick,
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

// finish writes the event that ends the attempt; nil means that the lease is lost.
func (a *attempt) finish(ctx context.Context, event execution.Event) (change execution.Change, written bool) {
	if event == nil {
		a.log.Warn("lease lost; another attempt has the execution")
		return execution.Change{}, false
	}
	ctx, span := trace.StartChild(ctx, "finish")
	defer span.End()
	change, err := a.write(ctx, event)
	a.ended = err == nil || store.IsRejection(err)
	if err != nil {
		markSpanFailed(span, "not written")
		a.log.Error("could not write the result; the execution will run again", zap.Error(err))
	}
	return change, err == nil
}

// publish publishes the notifications of a change. If that fails, the janitor publishes them again.
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
