package sandbox

import (
	"errors"
	"fmt"
)

// ErrInvalidJob means that no sandbox can run the job. Another attempt would fail in the same way.
var ErrInvalidJob = errors.New("invalid job")

// StartError means that a job did not begin: its sandbox could not be started, did not acknowledge the job, or does not
// have the agent's program. The fault is not the job's, and nothing of its work is lost. Another attempt may succeed,
// here or on another executor.
type StartError struct {
	Cause StartFailure
	Err   error // for operators: it may hold internal details
}

func (e *StartError) Error() string { return fmt.Sprintf("%s: %v", e.Cause, e.Err) }
func (e *StartError) Unwrap() error { return e.Err }

// StartFailure says why a sandbox could not be started.
type StartFailure string

// The start failures.
const (
	EngineUnreachable StartFailure = "engine_unreachable" // no Engine answers
	EngineRefused     StartFailure = "engine_refused"     // the Engine answered with an error, for example: no space left on device
	StartTimedOut     StartFailure = "start_timed_out"    // the container, or its init, was not ready in time
	NoFreeUID         StartFailure = "no_free_uid"        // all user IDs of the executor's range are in use
	ImageMissing      StartFailure = "image_missing"      // the Engine does not have the image
	ImageUnusable     StartFailure = "image_unusable"     // a container of the image can never start, its init is of another release, or it cannot run the agent's program
)

// OfImage reports whether jobs of other images may start all the same. Otherwise the Engine is at fault, and no job
// starts on it.
func (f StartFailure) OfImage() bool { return f == ImageMissing || f == ImageUnusable }

// Message describes the failure for people, without internal details.
func (f StartFailure) Message() string {
	switch f {
	case EngineUnreachable:
		return "the container engine does not answer"
	case EngineRefused:
		return "the container engine refused to start a container"
	case StartTimedOut:
		return "the container did not start in time"
	case NoFreeUID:
		return "all user IDs that the executor may use for sandboxes are in use"
	case ImageMissing:
		return "the image of the runtime is not on the container engine"
	case ImageUnusable:
		return "the image of the runtime cannot be started"
	default:
		return "the sandbox did not start"
	}
}
