package execution

import (
	"slices"
	"time"
)

// Attempt is what the history of an execution has about one attempt. All times are Firestore's.
type Attempt struct {
	Number    int       `firestore:"number"`
	Executor  string    `firestore:"executor"` // its name
	Session   string    `firestore:"session,omitempty"`
	ClaimedAt time.Time `firestore:"claimedAt"`
	// StartDelay is the time from the claim to the sandbox's acknowledgement of the job, by the executor's monotonic
	// clock. 0: it is unknown whether the job began, or it did not.
	StartDelay time.Duration  `firestore:"startDelay,omitempty"`
	EndedAt    *time.Time     `firestore:"endedAt,omitempty"` // nil while it runs
	Outcome    AttemptOutcome `firestore:"outcome"`
	Code       Code           `firestore:"code,omitempty"`   // of a job that did not succeed
	Detail     string         `firestore:"detail,omitempty"` // for people, at most MaxAttemptDetailBytes: why a job did not begin
	Usage      Usage          `firestore:"usage,omitzero"`
}

// AttemptOutcome says how an attempt ended.
type AttemptOutcome string

// The outcomes. The first are those of the job, with the names of the states.
const (
	AttemptRunning      AttemptOutcome = "running"
	AttemptSucceeded    AttemptOutcome = "succeeded"
	AttemptJobFailed    AttemptOutcome = "failed"
	AttemptTimedOut     AttemptOutcome = "timed_out"
	AttemptCanceled     AttemptOutcome = "canceled"
	AttemptStartFailed  AttemptOutcome = "start_failed"  // the job never began
	AttemptInterrupted  AttemptOutcome = "interrupted"   // Airlock failed after the job had begun
	AttemptHandedBack   AttemptOutcome = "handed_back"   // its executor shut down
	AttemptLeaseExpired AttemptOutcome = "lease_expired" // its executor died or was cut off
)

// Bounds of the history. Each attempt is in it, at most so many of the newest.
const (
	MaxAttemptHistory     = 50
	MaxAttemptDetailBytes = 200
)

// AttemptEnd is what the event that ends an attempt says about it.
type AttemptEnd struct {
	Outcome    AttemptOutcome
	StartDelay time.Duration
	Code       Code
	Detail     string
	Usage      Usage
}

// attemptEvent is an event that can end an attempt.
type attemptEvent interface{ attemptEnd() AttemptEnd }

func (ev JobEnded) attemptEnd() AttemptEnd {
	end := AttemptEnd{Outcome: AttemptOutcome(ev.Ending.Status), StartDelay: ev.Ending.StartDelay, Usage: ev.Ending.Usage}
	if ev.Ending.Failure != nil {
		end.Code = ev.Ending.Failure.Code
	}
	return end
}

func (ev AttemptFailed) attemptEnd() AttemptEnd {
	return AttemptEnd{Outcome: AttemptInterrupted, StartDelay: ev.StartDelay, Usage: ev.Usage}
}

func (ev StartFailed) attemptEnd() AttemptEnd {
	return AttemptEnd{Outcome: AttemptStartFailed, Detail: ev.Reason, Usage: ev.Usage}
}

func (ev HandedBack) attemptEnd() AttemptEnd {
	return AttemptEnd{Outcome: AttemptHandedBack, StartDelay: ev.StartDelay, Usage: ev.Usage}
}

func (LeaseExpired) attemptEnd() AttemptEnd { return AttemptEnd{Outcome: AttemptLeaseExpired} }

func (Overdue) attemptEnd() AttemptEnd { return AttemptEnd{Outcome: AttemptLeaseExpired} }

// recordAttempt appends the attempt that ran before an event to the history, if the event has ended it.
func (e *Execution) recordAttempt(before *Execution, ev Event, now time.Time) {
	if before.Status != Running || e.Status == Running {
		return
	}
	end := AttemptEnd{Outcome: AttemptInterrupted}
	if ended, ok := ev.(attemptEvent); ok {
		end = ended.attemptEnd()
	}
	attempt := before.runningAttempt()
	attempt.EndedAt, attempt.Outcome, attempt.StartDelay = &now, end.Outcome, end.StartDelay
	attempt.Code, attempt.Detail, attempt.Usage = end.Code, TruncateText(end.Detail, MaxAttemptDetailBytes), end.Usage
	e.Attempts = append(slices.Clone(e.Attempts), attempt)
	e.Attempts = e.Attempts[max(0, len(e.Attempts)-MaxAttemptHistory):]
}

// runningAttempt is what is known of the attempt of an execution that runs.
func (e *Execution) runningAttempt() Attempt {
	a := Attempt{Number: e.Attempt, Executor: e.Lease.Executor, Session: e.Lease.Session, Outcome: AttemptRunning}
	if e.StartedAt != nil {
		a.ClaimedAt = *e.StartedAt
	}
	return a
}

// AttemptHistory returns the attempts of the execution, the newest last and with the one that runs, and how many older
// ones are omitted.
func (e *Execution) AttemptHistory() (attempts []Attempt, omitted int) {
	attempts = slices.Clone(e.Attempts)
	if e.Status == Running {
		attempts = append(attempts, e.runningAttempt())
	}
	attempts = attempts[max(0, len(attempts)-MaxAttemptHistory):]
	return attempts, e.Attempt - len(attempts)
}
