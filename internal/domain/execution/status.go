package execution

// Status is the state of an execution:
//
//	queued ──> running ──> succeeded | failed | timed_out | canceled
//	  ^ │         │
//	  │ │         └─ again: Airlock failed, or the job failed and its agent's retry policy allows another attempt
//	  └─┼─────────┘
//	    └──> canceled | failed (attempts exhausted, dead-lettered) | timed_out (in the queue)
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
