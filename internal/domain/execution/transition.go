package execution

import (
	"errors"
	"fmt"
	"time"
)

// Why an event does not apply. None of them is a fault: they are what a late
// or repeated message, or an executor that was away too long, finds.
var (
	ErrTerminal              = errors.New("execution has ended")
	ErrLeased                = errors.New("execution is leased")
	ErrLeaseLost             = errors.New("attempt no longer holds the lease")
	ErrNotDue                = errors.New("execution is not due")
	ErrThrottled             = errors.New("execution waits for a limit of its tenant")
	ErrStartDeadlineExceeded = errors.New("execution may not begin any more") // the janitor ends it
)

// A queued execution is announced anew when it has waited for ringAgain, which
// with the janitor's interval stays below the promised minute for a lost
// message, and then each time that it has waited twice as long, up to
// rarest: were it always the same, a long queue would be announced over and over.
const (
	minRenotifyInterval = 45 * time.Second
	maxRenotifyInterval = 15 * time.Minute
)

// Event is something that happened to an execution. The events of this file
// are all there are.
type Event interface {
	apply(e *Execution, now time.Time) error
}

// Apply is the only way an Execution changes. It returns ErrTerminal,
// ErrLeased, ErrLeaseLost, ErrTooLate or ErrNotDue, and leaves e as it was, when the event
// does not fit e. now must come from the database that holds e.
func (e *Execution) Apply(ev Event, now time.Time) error {
	if e.Status.Terminal() {
		return ErrTerminal
	}
	return ev.apply(e, now)
}

// Change is what an event did, and so what the processes have to hear of.
type Change struct {
	Execution Execution
	// Announce names the executions that may run from now on.
	Notify []Ref
}

// Claimed starts an attempt, and with it a lease.
type Claimed struct {
	Executor string
	ClaimID  string // of the claim, unique, by which it is known where the answer to it was lost
	Lease    time.Duration
}

func (ev Claimed) apply(e *Execution, now time.Time) error {
	if e.Status == Running {
		return ErrLeased
	}
	if !now.Before(e.StartDeadline()) {
		return ErrStartDeadlineExceeded
	}
	e.Status = Running
	e.Throttled = false
	e.Attempt++
	e.StartedAt = &now
	e.Steps = nil
	e.setLease(Lease{Executor: ev.Executor, ClaimID: ev.ClaimID, Expires: now.Add(ev.Lease)})
	return nil
}

// Held keeps a queued execution from running, since its tenant has as much as
// it may. It is announced again when it is released, or when it falls due.
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

// Released has a held execution announced, since its tenant may have room for it.
type Released struct{}

func (Released) apply(e *Execution, now time.Time) error {
	if !e.Throttled {
		return ErrNotDue
	}
	e.markReady(now)
	return nil
}

// Renewed is the heartbeat of an attempt.
type Renewed struct {
	Attempt int
	Lease   time.Duration
	Steps   []Step // see Execution
}

func (ev Renewed) apply(e *Execution, now time.Time) error {
	if err := e.fence(ev.Attempt, now); err != nil {
		return err
	}
	e.setLease(Lease{Executor: e.Lease.Executor, ClaimID: e.Lease.ClaimID, Expires: now.Add(ev.Lease)})
	e.Steps = ev.Steps
	return nil
}

// Finished is the end of a job, whatever it was, as its attempt saw it. It ends
// the execution, unless the job failed and is to be tried again.
type Finished struct {
	Attempt int
	Ending  Ending
}

// Ending is what an execution ends with. Result is set exactly when Status is
// Succeeded, Failure exactly when it is not.
type Ending struct {
	Status           Status
	Result           *Result
	Failure          *Failure
	Usage            Usage    // of this attempt
	Receipt          string   // of the attempt, see Execution
	NewSession       *Session // of a turn that succeeded, see Execution
	Files            []File   // see Execution
	Steps            []Step   // see Execution; nil: those that are known
	OmittedFileCount int      // see Execution
}

func (ev Finished) apply(e *Execution, now time.Time) error {
	if err := e.fence(ev.Attempt, now); err != nil {
		return err
	}
	if failure := ev.Ending.Failure; failure != nil && failure.Code.retryable() {
		e.RetriedFailures++
		backoff := e.retryBackoff(e.RetriedFailures)
		if e.RetriedFailures < e.RetryPolicy.MaxAttempts && !e.CancelRequested && now.Add(backoff).Before(e.StartDeadline()) {
			e.Usage = e.Usage.add(ev.Ending.Usage)
			e.requeue(now, backoff)
			return nil
		}
	}
	e.finish(ev.Ending, now)
	return nil
}

// Broke is an attempt that Airlock could not carry through: the Engine failed,
// the sandbox did not start. It spends one of MaxAttempts, and pauses.
type AttemptFailed struct {
	Attempt int
	Usage   Usage // of this attempt
}

func (ev AttemptFailed) apply(e *Execution, now time.Time) error {
	if err := e.fence(ev.Attempt, now); err != nil {
		return err
	}
	e.Usage = e.Usage.add(ev.Usage)
	e.failAttempt(now, e.retryBackoff(e.FailedAttempts+1))
	return nil
}

// HandedBack is an attempt that an executor gives up because it shuts down.
// It spends nothing.
type HandedBack struct {
	Attempt int
	Usage   Usage // of this attempt
}

func (ev HandedBack) apply(e *Execution, now time.Time) error {
	if err := e.fence(ev.Attempt, now); err != nil {
		return err
	}
	e.Usage = e.Usage.add(ev.Usage)
	e.requeue(now, 0)
	return nil
}

// FellDue is the janitor's look at an execution whose Due has passed. A lost
// lease spends an attempt; a queued execution was not heard and is announced
// again, or has waited too long and ends.
type Expired struct{}

func (Expired) apply(e *Execution, now time.Time) error {
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

// CancelAsked ends a queued execution, and tells the executor of a running one.
type CancelRequested struct{}

func (CancelRequested) apply(e *Execution, now time.Time) error {
	e.CancelRequested = true
	if e.Status == Queued {
		e.finish(NewCanceledFailure().Ending(Usage{}), now)
	}
	return nil
}

// fence lets through only the attempt that holds a live lease.
func (e *Execution) fence(attempt int, now time.Time) error {
	if e.Status != Running || e.Attempt != attempt || !now.Before(e.Lease.Expires) {
		return ErrLeaseLost
	}
	return nil
}

func (e *Execution) setLease(l Lease) {
	e.Lease, e.Due = &l, &l.Expires
}

// requeue makes the execution wait for its next attempt, unless somebody has
// cancelled it meanwhile or it is too late for one. After a pause, the janitor
// announces it.
func (e *Execution) requeue(now time.Time, backoff time.Duration) {
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
	e.QueuedAt = now.Add(backoff)
	if backoff == 0 {
		e.markReady(now)
	} else {
		e.Ready = false
		e.setDue(backoff, now)
	}
}

// ready has the queued execution announced.
func (e *Execution) markReady(now time.Time) {
	e.Ready = true
	e.Throttled = false
	e.scheduleRenotification(now)
}

// unheard makes the queued execution due when nobody has heard of it.
func (e *Execution) scheduleRenotification(now time.Time) {
	e.setDue(min(max(minRenotifyInterval, now.Sub(e.QueuedAt)), maxRenotifyInterval), now)
}

// dueIn makes the queued execution due, at the latest when it may not begin any more.
func (e *Execution) setDue(d time.Duration, now time.Time) {
	due := now.Add(d)
	if e.StartDeadline().Before(due) {
		due = e.StartDeadline()
	}
	e.Due = &due
}

// endInQueue ends what has waited too long.
func (e *Execution) expireInQueue(now time.Time) {
	failure := Failure{
		Code:    CodeQueueTimeout,
		Message: fmt.Sprintf("No attempt could begin within %s, the queue time-out of this execution. Run it again, or let it wait longer.", e.QueueTimeout),
	}
	e.finish(failure.Ending(Usage{}), now)
}

// spend takes an attempt off, and ends the execution when it was the last.
func (e *Execution) failAttempt(now time.Time, backoff time.Duration) {
	e.FailedAttempts++
	if e.FailedAttempts < e.MaxAttempts || e.CancelRequested {
		e.requeue(now, backoff)
		return
	}
	e.finish(Ending{Status: Failed, Failure: &Failure{
		Code:    CodeAttemptsExhausted,
		Message: fmt.Sprintf("Airlock could not run this execution in %d attempts. The fault is on the server's side; run it again once its operator has looked.", e.FailedAttempts),
	}}, now)
}

func (e *Execution) finish(ending Ending, now time.Time) {
	e.Status = ending.Status
	e.Result = ending.Result
	e.Failure = ending.Failure
	e.Usage = e.Usage.add(ending.Usage)
	e.Receipt = ending.Receipt
	e.NewSession = ending.NewSession
	e.Files, e.OmittedFileCount = ending.Files, ending.OmittedFileCount
	if ending.Steps != nil {
		e.Steps = ending.Steps
	}
	e.Lease = nil
	e.Throttled = false
	e.Due = nil
	e.FinishedAt = &now
}
