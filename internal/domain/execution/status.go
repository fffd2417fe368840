package execution

// Status is the state of an execution. docs/architecture.md has a diagram of the states, which a test compares with the
// events.
type Status string

// The states.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	TimedOut  Status = "timed_out"
	Canceled  Status = "canceled"
)

// Terminal reports whether the state never changes again.
func (s Status) Terminal() bool {
	switch s {
	case Succeeded, Failed, TimedOut, Canceled:
		return true
	default:
		return false
	}
}
