package execution

// Failure says why a job did not succeed. It is a result, stored with the
// execution and shown to its tenant; that Airlock itself could not do its part
// is an error and leads to another attempt instead.
type Failure struct {
	Code    Code   `firestore:"code"`
	Message string `firestore:"message"` // for people; holds no internals
}

// Code is the machine-readable reason of a failure.
type Code string

// The reasons there are.
const (
	CodeAgentError        Code = "agent_error"        // the agent ended with an error of its own
	CodeInvalidResult     Code = "invalid_result"     // the agent ended well but its result cannot be read
	CodeModelError        Code = "model_error"        // the model could not be reached, or refused the request
	CodeOutOfMemory       Code = "out_of_memory"      // the job used more memory than its limit
	CodeOutputLimit       Code = "output_limit"       // the job wrote more than it may
	CodeBudgetExceeded    Code = "budget_exceeded"    // the job has used the tokens or the money that it may
	CodeTimedOut          Code = "timed_out"          // the job ran longer than its time-out
	CodeQueueTimeout      Code = "queue_timeout"      // no attempt could begin in the time that it may wait
	CodeCanceled          Code = "canceled"           // somebody cancelled it
	CodeInvalidTask       Code = "invalid_task"       // the task cannot be put to an agent at all
	CodeUnknownRuntime    Code = "unknown_runtime"    // no executor knows the runtime that it names
	CodeModelNotAllowed   Code = "model_not_allowed"  // the runtime may not use the model that it names
	CodeAttemptsExhausted Code = "attempts_exhausted" // Airlock failed to run it as often as it may
	CodeDeadLettered      Code = "dead_lettered"      // no executor could look at it, as often as it was announced
)

// Ends returns the ending that a failure makes: the status goes with the code.
func (f *Failure) Ending(u Usage) Ending {
	status := Failed
	switch f.Code {
	case CodeTimedOut, CodeQueueTimeout:
		status = TimedOut
	case CodeCanceled:
		status = Canceled
	default:
	}
	return Ending{Status: status, Failure: f, Usage: u}
}

// Cancellation is the failure of what somebody cancelled.
func NewCanceledFailure() *Failure {
	return &Failure{Code: CodeCanceled, Message: "The execution was cancelled."}
}
