package execution

import (
	"errors"
	"fmt"
	"time"
)

// Why an event does not apply. None of them is a fault: they are what a late
// or repeated message, or an executor that was away too long, finds.
var (
	ErrTerminal  = errors.New("execution has ended")
	ErrLeased    = errors.New("execution is leased")
	ErrLeaseLost = errors.New("attempt no longer holds the lease")
	ErrNotDue    = errors.New("execution is not due")
)

// ringAgain is how long a queued execution waits for an executor before the
// janitor announces it anew. With the janitor's interval it stays below the
// promised minute for a lost message.
const ringAgain = 45 * time.Second

// Event is something that happened to an execution. The events of this file
// are all there are.
type Event interface {
	apply(e *Execution, now time.Time) error
}

// Apply is the only way an Execution changes. It returns ErrTerminal,
// ErrLeased, ErrLeaseLost or ErrNotDue, and leaves e as it was, when the event
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
	Announce []Ref
}

// Claimed starts an attempt, and with it a lease.
type Claimed struct {
	Executor string
	Lease    time.Duration
}

func (ev Claimed) apply(e *Execution, now time.Time) error {
	if e.Status == Running {
		return ErrLeased
	}
	e.Status = Running
	e.Attempt++
	e.StartedAt = &now
	e.lease(ev.Executor, now.Add(ev.Lease))
	return nil
}

// Renewed is the heartbeat of an attempt.
type Renewed struct {
	Attempt int
	Lease   time.Duration
}

func (ev Renewed) apply(e *Execution, now time.Time) error {
	if err := e.fence(ev.Attempt, now); err != nil {
		return err
	}
	e.lease(e.Lease.Executor, now.Add(ev.Lease))
	return nil
}

// Finished is the end of a job, whatever it was, as its attempt saw it.
type Finished struct {
	Attempt int
	Ending  Ending
}

// Ending is what an execution ends with. Result is set exactly when Status is
// Succeeded, Failure exactly when it is not.
type Ending struct {
	Status  Status
	Result  *Result
	Failure *Failure
	Usage   Usage    // of this attempt
	Receipt string   // of the attempt, see Execution
	Left    *Session // of a turn that succeeded, see Execution
	Files   []File   // see Execution
	LeftOut int      // see Execution
}

func (ev Finished) apply(e *Execution, now time.Time) error {
	if err := e.fence(ev.Attempt, now); err != nil {
		return err
	}
	e.end(ev.Ending, now)
	return nil
}

// Broke is an attempt that Airlock could not carry through: the Engine failed,
// the sandbox did not start. It spends one of MaxAttempts.
type Broke struct {
	Attempt int
	Backoff time.Duration // until the janitor announces it again
	Usage   Usage         // of this attempt
}

func (ev Broke) apply(e *Execution, now time.Time) error {
	if err := e.fence(ev.Attempt, now); err != nil {
		return err
	}
	e.Usage = e.Usage.plus(ev.Usage)
	e.spend(now, ev.Backoff)
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
	e.Usage = e.Usage.plus(ev.Usage)
	e.requeue(now, 0)
	return nil
}

// FellDue is the janitor's look at an execution whose Due has passed. A lost
// lease spends an attempt; a queued execution was not heard and is announced again.
type FellDue struct{}

func (FellDue) apply(e *Execution, now time.Time) error {
	switch {
	case e.Due == nil || e.Due.After(now):
		return ErrNotDue
	case e.Status == Running:
		e.spend(now, 0)
	default:
		e.requeue(now, 0)
	}
	return nil
}

// CancelAsked ends a queued execution, and tells the executor of a running one.
type CancelAsked struct{}

func (CancelAsked) apply(e *Execution, now time.Time) error {
	e.CancelRequested = true
	if e.Status == Queued {
		e.end(Cancellation().Ends(Usage{}), now)
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

func (e *Execution) lease(executor string, expires time.Time) {
	e.Lease = &Lease{Executor: executor, Expires: expires}
	e.Due = &expires
}

// requeue makes the execution wait for its next attempt, unless somebody has
// cancelled it meanwhile. Without a back-off it is Ready at once, and due when
// its announcement has not been heard; with one, the janitor announces it then.
func (e *Execution) requeue(now time.Time, backoff time.Duration) {
	if e.CancelRequested {
		e.end(Cancellation().Ends(Usage{}), now)
		return
	}
	e.Status = Queued
	e.Lease = nil
	e.Ready = backoff == 0
	if e.Ready {
		backoff = ringAgain
	}
	due := now.Add(backoff)
	e.Due = &due
}

// spend takes an attempt off, and ends the execution when it was the last.
func (e *Execution) spend(now time.Time, backoff time.Duration) {
	e.Spent++
	if e.Spent < e.MaxAttempts || e.CancelRequested {
		e.requeue(now, backoff)
		return
	}
	e.end(Ending{Status: Failed, Failure: &Failure{
		Code:    CodeAttemptsExhausted,
		Message: fmt.Sprintf("Airlock could not run this execution in %d attempts. The fault is on the server's side; run it again once its operator has looked.", e.Spent),
	}}, now)
}

func (e *Execution) end(ending Ending, now time.Time) {
	e.Status = ending.Status
	e.Result = ending.Result
	e.Failure = ending.Failure
	e.Usage = e.Usage.plus(ending.Usage)
	e.Receipt = ending.Receipt
	e.Left = ending.Left
	e.Files, e.LeftOut = ending.Files, ending.LeftOut
	e.Lease = nil
	e.Due = nil
	e.FinishedAt = &now
}
