package execution

import (
	"errors"
	"fmt"
	"slices"
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
)

// ErrThrottled means that a claim was turned into the event Throttled. Package quota returns it.
var ErrThrottled = errors.New("execution is throttled by a limit of its tenant")

// Event is something that happened to an execution. This file holds all events.
type Event interface {
	apply(e *Execution, now time.Time) error
}

// Change is what an event did, for the processes that must learn of it.
type Change struct {
	Execution Execution
	// Notify names the executions that may run now and need a notification.
	Notify []Ref
}

// Apply changes e by an event; nothing else changes an Execution. If the event does not apply, e stays as it was and
// the error is ErrTerminal, ErrLeased, ErrLeaseLost, ErrStartDeadlineExceeded, ErrRuntimeUnavailable or ErrNotDue. now
// must be the time of the database that stores e.
func (e *Execution) Apply(ev Event, now time.Time) error {
	if e.Status.Terminal() {
		return ErrTerminal
	}
	return ev.apply(e, now)
}

// Claimed starts an attempt and its lease.
type Claimed struct {
	Executor string
	ClaimID  string // unique; an executor that lost the response recognizes its claim by it
	Lease    time.Duration
	// UnavailableRuntimes cannot be started on this executor at present. The claim of such a job fails.
	UnavailableRuntimes []string
}

func (ev Claimed) apply(e *Execution, now time.Time) error {
	switch {
	case e.Status == Running:
		return ErrLeased
	case !now.Before(e.StartDeadline()):
		return ErrStartDeadlineExceeded
	case slices.Contains(ev.UnavailableRuntimes, e.Task.Runtime):
		return ErrRuntimeUnavailable
	}
	e.Status = Running
	e.Throttled = false
	e.Attempt++
	e.StartedAt = &now
	e.Steps = nil
	e.setLease(Lease{Executor: ev.Executor, ClaimID: ev.ClaimID, Expires: now.Add(ev.Lease)})
	return nil
}

// Renewed is a heartbeat of the attempt: it extends the lease.
type Renewed struct {
	Attempt int
	Lease   time.Duration
	Steps   []Step
}

func (ev Renewed) apply(e *Execution, now time.Time) error {
	if err := e.checkLease(ev.Attempt, now); err != nil {
		return err
	}
	e.setLease(Lease{Executor: e.Lease.Executor, ClaimID: e.Lease.ClaimID, Expires: now.Add(ev.Lease)})
	e.Steps = ev.Steps
	return nil
}

// JobEnded is the end of the job, with success or without. It finishes the execution, unless the job failed and the
// retry policy allows another attempt: then it queues the execution again.
type JobEnded struct {
	Attempt int
	Ending  Ending
}

func (ev JobEnded) apply(e *Execution, now time.Time) error {
	if err := e.checkLease(ev.Attempt, now); err != nil {
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
	Attempt int
	Usage   Usage // of this attempt only
}

func (ev AttemptFailed) apply(e *Execution, now time.Time) error {
	if err := e.checkLease(ev.Attempt, now); err != nil {
		return err
	}
	e.Usage = e.Usage.add(ev.Usage)
	e.failAttempt(now, e.retryBackoff(e.FailedAttempts+1))
	return nil
}

// StartFailed is the end of an attempt whose job never began: no sandbox acknowledged it. It does not count against
// MaxAttempts. The execution waits for its next attempt, or ends when too many starts have failed.
type StartFailed struct {
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
	if err := e.checkLease(ev.Attempt, now); err != nil {
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
	if e.StartFailures.exhausted() && !e.CancelRequested {
		e.finish(e.StartFailures.failure().Ending(Usage{}), now)
		return nil
	}
	e.requeue(now, e.retryBackoff(e.StartFailures.Count))
	return nil
}

// HandedBack is the end of an attempt because its executor shuts down. It does not count against MaxAttempts.
type HandedBack struct {
	Attempt int
	Usage   Usage // of this attempt only
}

func (ev HandedBack) apply(e *Execution, now time.Time) error {
	if err := e.checkLease(ev.Attempt, now); err != nil {
		return err
	}
	e.Usage = e.Usage.add(ev.Usage)
	e.requeue(now, 0)
	return nil
}

// Overdue is the janitor's event for an execution whose Due has passed. The lease of a running one has expired, which
// counts as a failed attempt. A queued one needs another notification, or ends because its start deadline has passed.
type Overdue struct{}

func (Overdue) apply(e *Execution, now time.Time) error {
	switch {
	case e.Due == nil || e.Due.After(now):
		return ErrNotDue
	case e.Status == Running:
		e.failAttempt(now, 0)
	case !now.Before(e.StartDeadline()):
		e.expireInQueue(now)
	default:
		e.markReady(now)
	}
	return nil
}

// Throttled keeps a queued execution from running, because its tenant has reached a limit. It gets a notification
// when it is released, or when it is due.
type Throttled struct{}

func (Throttled) apply(e *Execution, now time.Time) error {
	switch {
	case e.Status == Running:
		return ErrLeased
	case !now.Before(e.StartDeadline()):
		return ErrStartDeadlineExceeded
	}
	e.Throttled = true
	e.scheduleRenotification(now)
	return nil
}

// Released ends the throttling, because the tenant may be below its limit now.
type Released struct{}

func (Released) apply(e *Execution, now time.Time) error {
	if !e.Throttled {
		return ErrNotDue
	}
	e.markReady(now)
	return nil
}

// CancelRequested ends a queued execution, and tells the executor of a running one to stop the job.
type CancelRequested struct{}

func (CancelRequested) apply(e *Execution, now time.Time) error {
	e.CancelRequested = true
	if e.Status == Queued {
		e.finish(NewCanceledFailure().Ending(Usage{}), now)
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

// checkLease returns ErrLeaseLost unless the attempt holds an unexpired lease.
func (e *Execution) checkLease(attempt int, now time.Time) error {
	if e.Status != Running || e.Attempt != attempt || !now.Before(e.Lease.Expires) {
		return ErrLeaseLost
	}
	return nil
}

func (e *Execution) setLease(l Lease) {
	e.Lease, e.Due = &l, &l.Expires
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
	e.Throttled = false
	e.scheduleRenotification(now)
}

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
	e.Usage = e.Usage.add(ending.Usage)
	e.Receipt = ending.Receipt
	e.NewTranscript = ending.NewTranscript
	e.Files, e.OmittedFileCount = ending.Files, ending.OmittedFileCount
	if ending.Steps != nil {
		e.Steps = ending.Steps
	}
	e.Lease = nil
	e.Throttled = false
	e.Due = nil
	e.FinishedAt = &now
}
