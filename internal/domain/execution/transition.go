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
	ErrHeld      = errors.New("execution waits for a limit of its tenant")
	ErrTooLate   = errors.New("execution may not begin any more") // the janitor ends it
)

// A queued execution is announced anew when it has waited for ringAgain, which
// with the janitor's interval stays below the promised minute for a lost
// message, and then each time that it has waited twice as long, up to
// rarest: were it always the same, a long queue would be announced over and over.
const (
	ringAgain = 45 * time.Second
	rarest    = 15 * time.Minute
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
	Announce []Ref
}

// Claimed starts an attempt, and with it a lease.
type Claimed struct {
	Executor string
	ID       string // of the claim, unique, by which it is known where the answer to it was lost
	Lease    time.Duration
}

func (ev Claimed) apply(e *Execution, now time.Time) error {
	if e.Status == Running {
		return ErrLeased
	}
	if !now.Before(e.StartBy()) {
		return ErrTooLate
	}
	e.Status = Running
	e.Held = false
	e.Attempt++
	e.StartedAt = &now
	e.Steps = nil
	e.lease(Lease{Executor: ev.Executor, Claim: ev.ID, Expires: now.Add(ev.Lease)})
	return nil
}

// Held keeps a queued execution from running, since its tenant has as much as
// it may. It is announced again when it is released, or when it falls due.
type Held struct{}

func (Held) apply(e *Execution, now time.Time) error {
	switch {
	case e.Status == Running:
		return ErrLeased
	case !now.Before(e.StartBy()):
		return ErrTooLate
	}
	e.Held = true
	e.unheard(now)
	return nil
}

// Released has a held execution announced, since its tenant may have room for it.
type Released struct{}

func (Released) apply(e *Execution, now time.Time) error {
	if !e.Held {
		return ErrNotDue
	}
	e.ready(now)
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
	e.lease(Lease{Executor: e.Lease.Executor, Claim: e.Lease.Claim, Expires: now.Add(ev.Lease)})
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
	Status  Status
	Result  *Result
	Failure *Failure
	Usage   Usage    // of this attempt
	Receipt string   // of the attempt, see Execution
	Left    *Session // of a turn that succeeded, see Execution
	Files   []File   // see Execution
	Steps   []Step   // see Execution; nil: those that are known
	LeftOut int      // see Execution
}

func (ev Finished) apply(e *Execution, now time.Time) error {
	if err := e.fence(ev.Attempt, now); err != nil {
		return err
	}
	if failure := ev.Ending.Failure; failure != nil && failure.Code.mayPass() {
		e.Tries++
		pause := e.pause(e.Tries)
		if e.Tries < e.Retry.MaxAttempts && !e.CancelRequested && now.Add(pause).Before(e.StartBy()) {
			e.Usage = e.Usage.plus(ev.Ending.Usage)
			e.requeue(now, pause)
			return nil
		}
	}
	e.end(ev.Ending, now)
	return nil
}

// Broke is an attempt that Airlock could not carry through: the Engine failed,
// the sandbox did not start. It spends one of MaxAttempts, and pauses.
type Broke struct {
	Attempt int
	Usage   Usage // of this attempt
}

func (ev Broke) apply(e *Execution, now time.Time) error {
	if err := e.fence(ev.Attempt, now); err != nil {
		return err
	}
	e.Usage = e.Usage.plus(ev.Usage)
	e.spend(now, e.pause(e.Spent+1))
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
// lease spends an attempt; a queued execution was not heard and is announced
// again, or has waited too long and ends.
type FellDue struct{}

func (FellDue) apply(e *Execution, now time.Time) error {
	switch {
	case e.Due == nil || e.Due.After(now):
		return ErrNotDue
	case e.Status == Running:
		e.spend(now, 0)
	case !now.Before(e.StartBy()):
		e.endInQueue(now)
	default:
		e.ready(now)
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

func (e *Execution) lease(l Lease) {
	e.Lease, e.Due = &l, &l.Expires
}

// requeue makes the execution wait for its next attempt, unless somebody has
// cancelled it meanwhile or it is too late for one. After a pause, the janitor
// announces it.
func (e *Execution) requeue(now time.Time, pause time.Duration) {
	switch {
	case e.CancelRequested:
		e.end(Cancellation().Ends(Usage{}), now)
		return
	case !now.Before(e.StartBy()):
		e.endInQueue(now)
		return
	}
	e.Status = Queued
	e.Lease = nil
	e.QueuedAt = now.Add(pause)
	if pause == 0 {
		e.ready(now)
	} else {
		e.Ready = false
		e.dueIn(pause, now)
	}
}

// ready has the queued execution announced.
func (e *Execution) ready(now time.Time) {
	e.Ready = true
	e.Held = false
	e.unheard(now)
}

// unheard makes the queued execution due when nobody has heard of it.
func (e *Execution) unheard(now time.Time) {
	e.dueIn(min(max(ringAgain, now.Sub(e.QueuedAt)), rarest), now)
}

// dueIn makes the queued execution due, at the latest when it may not begin any more.
func (e *Execution) dueIn(d time.Duration, now time.Time) {
	due := now.Add(d)
	if e.StartBy().Before(due) {
		due = e.StartBy()
	}
	e.Due = &due
}

// endInQueue ends what has waited too long.
func (e *Execution) endInQueue(now time.Time) {
	late := Failure{
		Code:    CodeQueueTimeout,
		Message: fmt.Sprintf("No attempt could begin within %s, the queue time-out of this execution. Run it again, or let it wait longer.", e.QueueTimeout),
	}
	e.end(late.Ends(Usage{}), now)
}

// spend takes an attempt off, and ends the execution when it was the last.
func (e *Execution) spend(now time.Time, pause time.Duration) {
	e.Spent++
	if e.Spent < e.MaxAttempts || e.CancelRequested {
		e.requeue(now, pause)
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
	if ending.Steps != nil {
		e.Steps = ending.Steps
	}
	e.Lease = nil
	e.Held = false
	e.Due = nil
	e.FinishedAt = &now
}
