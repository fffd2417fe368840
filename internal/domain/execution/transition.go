package execution

import (
	"errors"
	"fmt"
	"time"

	"github.com/airlock-run/airlock/internal/domain/backoff"
)

// Errors of Apply. None is a fault of Airlock: a late or repeated notification causes them, or an executor that was
// paused too long.
var (
	ErrTerminal              = errors.New("execution has finished")
	ErrLeased                = errors.New("execution is leased")
	ErrLeaseLost             = errors.New("attempt no longer holds the lease")
	ErrNotDue                = errors.New("execution is not due")
	ErrStartDeadlineExceeded = errors.New("the start deadline of the execution has passed") // the janitor ends it
	ErrRuntimeUnavailable    = errors.New("this executor cannot start the runtime at present; another may")
	ErrTenantPaused          = errors.New("the tenant is paused; its executions are published when it goes on")
	ErrAgentBudgetUsedUp     = errors.New("the agent has used up its daily budget; its executions are published on the next day")
)

// Event is something that happened to an execution. This file holds all events.
type Event interface {
	apply(e *Execution, now time.Time) error
}

// Change is what an event did, for the processes that must learn of it.
type Change struct {
	Execution Execution
	// At is Firestore's time of the change.
	At time.Time
	// Notify has the executions that may run now and need a notification.
	Notify []Runnable
	// Dispatcher is the process that wants to know when an execution of Notify has ended; empty: none.
	Dispatcher string
}

// Runnable is an execution that may run now, and what decides who gets its notification.
type Runnable struct {
	Ref
	Lane    Lane
	Runtime string
	Holder  string // see Execution
}

// Runnable returns e as one that may run now.
func (e *Execution) Runnable() Runnable {
	return Runnable{Ref: e.Ref(), Lane: e.Lane, Runtime: e.Task.Runtime, Holder: e.Holder}
}

// Apply changes e by an event; nothing else changes an Execution. If the event does not apply, e stays as it was and
// the error is ErrTerminal, ErrLeased, ErrLeaseLost, ErrStartDeadlineExceeded, ErrRuntimeUnavailable, ErrTenantPaused
// or ErrNotDue. now must be the time of the database that stores e.
func (e *Execution) Apply(ev Event, now time.Time) error {
	if e.Status.Terminal() {
		return ErrTerminal
	}
	before := *e
	if err := ev.apply(e, now); err != nil {
		return err
	}
	e.recordAttempt(&before, ev, now)
	return nil
}

// Claimed starts an attempt. A claim that is repeated, because its answer was lost, changes nothing.
type Claimed struct {
	Executor string
	Session  string // of the executor; see Lease
	ClaimID  string // unique; the same in each repetition of the claim
	// Dispatcher is the process that published the notification and wants to know of the end; empty: none.
	Dispatcher string
	// TenantPaused is set by the store, which reads it together with the execution.
	TenantPaused bool
	// Runtimes can be started on this executor at present; nil: all. The claim of a job of another one fails.
	Runtimes []string
	// TranscriptBound is that of the installation; nil: none. The store replaces it by the tenant's, if that has one.
	TranscriptBound *time.Duration
}

func (ev Claimed) apply(e *Execution, now time.Time) error {
	switch {
	case e.Status == Running && ev.ClaimID != "" && e.Lease.ClaimID == ev.ClaimID:
		return nil
	case e.Status == Running:
		return ErrLeased
	case !now.Before(e.StartDeadline()):
		return ErrStartDeadlineExceeded
	case ev.TenantPaused:
		return ErrTenantPaused
	case !e.Task.startableWith(ev.Runtimes):
		return ErrRuntimeUnavailable
	}
	e.Status = Running
	e.Attempt++
	e.StartedAt = &now
	e.Steps = nil
	e.Lease = &Lease{Executor: ev.Executor, Session: ev.Session, ClaimID: ev.ClaimID, Dispatcher: ev.Dispatcher}
	e.TranscriptBound = ev.TranscriptBound
	e.setRunningDue(now)
	return nil
}

// JobEnded is the end of the job, with success or without. It finishes the execution, unless the job failed and the
// retry policy allows another attempt: then it queues the execution again.
type JobEnded struct {
	Session string
	Attempt int
	Ending  Ending
}

func (ev JobEnded) apply(e *Execution, now time.Time) error {
	if err := e.checkLease(ev.Session, ev.Attempt); err != nil {
		return err
	}
	if failure := ev.Ending.Failure; failure != nil && failure.Code.retryable() {
		e.RetriedFailures++
		wait := e.retryBackoff(e.RetriedFailures)
		if e.RetriedFailures < e.RetryPolicy.MaxAttempts && !e.CancelRequested && now.Add(wait).Before(e.StartDeadline()) {
			e.Usage = e.Usage.add(ev.Ending.Usage)
			e.requeue(now, wait)
			return nil
		}
	}
	e.finish(ev.Ending, now)
	return nil
}

// AttemptFailed is the failure of an attempt because of Airlock, after its job had begun. It counts against MaxAttempts
// and leads to a back-off.
type AttemptFailed struct {
	Session    string
	Attempt    int
	StartDelay time.Duration // see Attempt
	Usage      Usage         // of this attempt only
}

func (ev AttemptFailed) apply(e *Execution, now time.Time) error {
	if err := e.checkLease(ev.Session, ev.Attempt); err != nil {
		return err
	}
	e.Usage = e.Usage.add(ev.Usage)
	e.failAttempt(now, e.retryBackoff(e.FailedAttempts+1))
	return nil
}

// StartFailed is the end of an attempt whose job never began: no sandbox acknowledged it. It does not count against
// MaxAttempts. The execution waits for its next attempt, or ends when too many starts have failed.
type StartFailed struct {
	Session string
	Attempt int
	Usage   Usage  // of this attempt only; a sandbox whose acknowledgement was lost may have used a model
	Reason  string // for people; never holds internal details
	// EngineSick means that the executor starts nothing at all. So the failure says nothing about this execution, and
	// does not bring its end nearer.
	EngineSick bool
	// ImageFailed means that this executor cannot start the image of the runtime, however often it tries.
	ImageFailed bool
}

func (ev StartFailed) apply(e *Execution, now time.Time) error {
	if err := e.checkLease(ev.Session, ev.Attempt); err != nil {
		return err
	}
	e.Usage = e.Usage.add(ev.Usage)
	if ev.EngineSick {
		e.requeue(now, e.retryBackoff(1))
		return nil
	}
	executor := ""
	if ev.ImageFailed {
		executor = e.Lease.Executor
	}
	e.StartFailures = e.StartFailures.add(executor, ev.Reason)
	late := ev.ImageFailed && !now.Before(e.StartDeadline())
	if (late || e.StartFailures.exhausted()) && !e.CancelRequested {
		e.finish(e.StartFailures.failure().Ending(Usage{}), now)
		return nil
	}
	e.requeue(now, e.retryBackoff(e.StartFailures.Count))
	return nil
}

// HandedBack is the end of an attempt because its executor shuts down. It does not count against MaxAttempts.
type HandedBack struct {
	Session    string
	Attempt    int
	StartDelay time.Duration // see Attempt; 0 if the job had not begun
	Usage      Usage         // of this attempt only
}

func (ev HandedBack) apply(e *Execution, now time.Time) error {
	if err := e.checkLease(ev.Session, ev.Attempt); err != nil {
		return err
	}
	e.Usage = e.Usage.add(ev.Usage)
	e.requeue(now, 0)
	return nil
}

// LeaseExpired means that the session of the attempt has expired: its executor is dead, or cut off. It counts as a
// failed attempt.
type LeaseExpired struct{ Session string }

func (ev LeaseExpired) apply(e *Execution, now time.Time) error {
	if e.Status != Running || e.Lease.Session != ev.Session {
		return ErrLeaseLost
	}
	e.failAttempt(now, 0)
	return nil
}

// Overdue is the janitor's event for an execution whose Due has passed. A queued one needs another notification, or
// ends because its start deadline has passed. A running one that was canceled needs another signal. Any other has run
// for longer than an attempt can, which counts as a failed attempt.
type Overdue struct {
	// Runtimes can be started by a living executor; nil: it is not known. They decide why an execution that has waited
	// too long did not run.
	Runtimes []string
}

func (ev Overdue) apply(e *Execution, now time.Time) error {
	switch {
	case e.Due == nil || e.Due.After(now):
		return ErrNotDue
	case e.Status == Running && now.Before(e.runningDeadline()):
		e.setRunningDue(now)
	case e.Status == Running:
		e.failAttempt(now, 0)
	case !now.Before(e.StartDeadline()) && e.WaitsForExecutor(ev.Runtimes):
		e.finish(e.neverStartableFailure().Ending(Usage{}), now)
	case !now.Before(e.StartDeadline()):
		e.expireInQueue(now)
	default:
		e.markReady(now)
	}
	return nil
}

// Deferred keeps a queued execution from running until a time, because its agent has used up its daily budget. It gets
// a notification then.
type Deferred struct{ Until time.Time }

func (ev Deferred) apply(e *Execution, now time.Time) error {
	switch {
	case e.Status == Running:
		return ErrLeased
	case !now.Before(e.StartDeadline()):
		return ErrStartDeadlineExceeded
	}
	e.QueuedAt = ev.Until
	e.setDue(ev.Until.Sub(now), now)
	return nil
}

// CancelRequested ends a queued execution, and tells the executor of a running one to stop the job.
type CancelRequested struct{}

func (CancelRequested) apply(e *Execution, now time.Time) error {
	if e.Status == Queued {
		e.CancelRequested = true
		e.finish(NewCanceledFailure().Ending(Usage{}), now)
		return nil
	}
	if !e.CancelRequested {
		e.CancelRequested = true
		e.setRunningDue(now)
	}
	return nil
}

// DeadLettered means that Pub/Sub stopped delivering the notification, because no executor could process it. It ends
// a queued execution. Without this event the janitor would publish notifications for it until its start deadline.
type DeadLettered struct{}

func (DeadLettered) apply(e *Execution, now time.Time) error {
	if e.Status == Running {
		return ErrLeased // an executor has processed it in the meantime
	}
	failure := &Failure{
		Code:    CodeDeadLettered,
		Message: "No executor could process this execution. The fault is in Airlock, not in the job. Run it again after the operator has fixed it.",
	}
	e.finish(failure.Ending(Usage{}), now)
	return nil
}

// checkLease returns ErrLeaseLost unless the attempt is the one that holds the lease. No clock takes part: who ends a
// lease replaces it in the document.
func (e *Execution) checkLease(session string, attempt int) error {
	if e.Status != Running || e.Attempt != attempt || e.Lease.Session != session {
		return ErrLeaseLost
	}
	return nil
}

// failAttempt counts a failed attempt. It finishes the execution if that was the last one.
func (e *Execution) failAttempt(now time.Time, wait time.Duration) {
	e.FailedAttempts++
	if e.FailedAttempts < e.MaxAttempts || e.CancelRequested {
		e.requeue(now, wait)
		return
	}
	failure := &Failure{
		Code: CodeAttemptsExhausted,
		Message: fmt.Sprintf("Airlock failed to run this execution in %d attempts. The fault is in Airlock, not in the job. "+
			"Run it again after the operator has fixed it.", e.FailedAttempts),
	}
	e.finish(failure.Ending(Usage{}), now)
}

const (
	// maxOverhead is longer than an attempt takes besides its job: to start the sandbox, to store the artifacts, and to
	// write the result, and to wait for its model.
	maxOverhead = MaxModelWait + 5*time.Minute
	// cancelRetryInterval is the time after which the signal of a cancellation is sent again.
	cancelRetryInterval = 10 * time.Second
)

// runningDeadline is when the newest attempt has certainly ended. It is an upper bound for what the end of a session
// does not find, such as a claim that took effect after its session had expired.
func (e *Execution) runningDeadline() time.Time { return e.StartedAt.Add(e.Timeout + maxOverhead) }

// setRunningDue makes the running execution due when its attempt must have ended, or when its cancellation needs
// another signal: the store sends it when Due of a canceled execution changes.
func (e *Execution) setRunningDue(now time.Time) {
	due := e.runningDeadline()
	if retry := now.Add(cancelRetryInterval); e.CancelRequested && retry.Before(due) {
		due = retry
	}
	e.Due = &due
}

// Bounds of the back-off.
const (
	minBackoff = 2 * time.Second
	maxBackoff = time.Minute
)

// retryBackoff returns the wait after the n-th failure of a kind: 2 s, 4 s, 8 s … up to a minute, shortened by up to
// half of it.
func (e *Execution) retryBackoff(n int) time.Duration {
	limit := min(minBackoff<<min(n-1, 5), maxBackoff)
	return backoff.Jitter(limit/2, limit, fmt.Sprintf("%s/%d", e.ID, e.Attempt))
}

// requeue queues the execution for its next attempt, or finishes it if it was canceled or its start deadline has
// passed. After a wait, the janitor publishes the notification.
func (e *Execution) requeue(now time.Time, wait time.Duration) {
	switch {
	case e.CancelRequested:
		e.finish(NewCanceledFailure().Ending(Usage{}), now)
		return
	case !now.Before(e.StartDeadline()):
		e.expireInQueue(now)
		return
	}
	e.Status = Queued
	e.Lease = nil
	e.QueuedAt = now.Add(wait)
	if wait == 0 {
		e.markReady(now)
	} else {
		e.Ready = false
		e.setDue(wait, now)
	}
}

// markReady makes the queued execution one that needs a notification.
func (e *Execution) markReady(now time.Time) {
	e.Ready = true
	e.scheduleRenotification(now)
}

// RenotifyInterval is when a published execution is published again if no executor has claimed it.
const RenotifyInterval = minRenotifyInterval

// A queued execution gets another notification after minRenotifyInterval, and then each time that its waiting time has
// doubled, at least every maxRenotifyInterval. 45 s plus the janitor's interval is less than the minute that
// docs/reliability.md promises. A constant interval would publish the notifications of a long queue over and over.
const (
	minRenotifyInterval = 45 * time.Second
	maxRenotifyInterval = 15 * time.Minute
)

func (e *Execution) scheduleRenotification(now time.Time) {
	e.setDue(min(max(minRenotifyInterval, now.Sub(e.QueuedAt)), maxRenotifyInterval), now)
}

// setDue makes the queued execution due after d, but not later than its start deadline.
func (e *Execution) setDue(d time.Duration, now time.Time) {
	due := now.Add(d)
	if e.StartDeadline().Before(due) {
		due = e.StartDeadline()
	}
	e.Due = &due
}

// AwaitDispatcher makes a new execution one that the dispatcher of its tenant publishes, when the tenant has a place
// for it. It is due only at its start deadline: however many wait, nobody looks at them in the meantime.
func (e *Execution) AwaitDispatcher() {
	e.Ready = false
	due := e.StartDeadline()
	e.Due = &due
}

// expireInQueue finishes an execution whose start deadline has passed.
func (e *Execution) expireInQueue(now time.Time) {
	failure := &Failure{
		Code: CodeQueueTimeout,
		Message: fmt.Sprintf("No attempt could begin within %s, the queue time-out of this execution. "+
			"Run it again, or set a longer queue time-out.", e.QueueTimeout),
	}
	e.finish(failure.Ending(Usage{}), now)
}

func (e *Execution) finish(ending Ending, now time.Time) {
	e.Status = ending.Status
	e.Result = ending.Result
	e.Failure = ending.Failure
	e.PartialText = ending.PartialText
	e.Usage = e.Usage.add(ending.Usage)
	e.Receipt = ending.Receipt
	e.NewSession, e.SessionRejected, e.Hold = ending.NewSession, ending.SessionRejected, ending.Hold
	e.Files, e.OmittedFileCount = ending.Files, ending.OmittedFileCount
	e.Workspace, e.WorkspaceLost = ending.Workspace, ending.WorkspaceLost
	e.Network = ending.Network
	if ending.Steps != nil {
		e.Steps = ending.Steps
	}
	e.Lease = nil
	e.Due = nil
	e.FinishedAt = &now
	e.TranscriptExpiresAt = e.transcriptExpiry(now)
}
