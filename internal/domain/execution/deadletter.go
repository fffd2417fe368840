package execution

import "time"

// DeadLettered is an announcement that Pub/Sub has given up, because nobody
// could look at the execution however often it came. It ends an execution that
// still waits: what nobody can look at would otherwise be announced for ever.
type DeadLettered struct{}

func (DeadLettered) apply(e *Execution, now time.Time) error {
	if e.Status == Running {
		return ErrLeased // somebody could, after all
	}
	failure := &Failure{
		Code:    CodeDeadLettered,
		Message: "No executor could take this execution on. The fault is on the server's side; run it again once its operator has looked.",
	}
	e.finish(failure.Ending(Usage{}), now)
	return nil
}
