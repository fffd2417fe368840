package execution

// Failure says why a job did not succeed. It is a result: it is stored with the execution and shown to the tenant.
// A failure of Airlock itself is not a Failure but an error, and leads to another attempt.
type Failure struct {
	Code    Code   `firestore:"code"`
	Message string `firestore:"message"` // for people; never holds internal details
}

// Code is the machine-readable reason of a failure.
type Code string

// The codes.
const (
	CodeAgentError        Code = "agent_error"        // the agent ended with an error of its own
	CodeInvalidResult     Code = "invalid_result"     // the agent ended well, but its result is not readable
	CodeModelError        Code = "model_error"        // the model was unreachable, or rejected the request
	CodeOutOfMemory       Code = "out_of_memory"      // the job used more memory than its limit
	CodeOutputLimit       Code = "output_limit"       // the job wrote more output than allowed
	CodeBudgetExceeded    Code = "budget_exceeded"    // the job used all its tokens or money
	CodeTimedOut          Code = "timed_out"          // the job ran longer than its time-out
	CodeQueueTimeout      Code = "queue_timeout"      // no attempt began before the start deadline, though an executor could have taken it
	CodeCanceled          Code = "canceled"           // the tenant canceled the execution
	CodeInvalidTask       Code = "invalid_task"       // the runtime cannot give this task to an agent
	CodeModelNotAllowed   Code = "model_not_allowed"  // the runtime may not use the model
	CodeAttemptsExhausted Code = "attempts_exhausted" // MaxAttempts attempts failed because of Airlock
	CodeNoExecutor        Code = "no_executor"        // no executor offers the runtime, or could start a sandbox for the job
	CodeDeadLettered      Code = "dead_lettered"      // no executor could process the notification
)

// retryable reports whether another attempt at the same task may succeed: a model and a program may behave
// differently the next time. The other failures would repeat: a budget counts over all attempts, and an invalid task
// stays invalid.
func (c Code) retryable() bool {
	switch c {
	case CodeAgentError, CodeInvalidResult, CodeModelError, CodeOutOfMemory, CodeOutputLimit, CodeTimedOut:
		return true
	default:
		return false
	}
}

// Ending returns the ending with this failure. The code determines the status.
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

// NewCanceledFailure returns the failure of an execution that the tenant canceled.
func NewCanceledFailure() *Failure {
	return &Failure{Code: CodeCanceled, Message: "The execution was canceled."}
}
