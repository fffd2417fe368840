package execution

// Status is where an execution is on its way:
//
//	queued ──> running ──> succeeded | failed | timed_out | canceled
//	  ^ │         │
//	  │ │         └─ retry: infrastructure failed, or the job did and its agent has it tried again
//	  └─┼─────────┘
//	    └──> canceled | failed (attempts exhausted) | timed_out (in the queue)
type Status string

// The states there are.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	TimedOut  Status = "timed_out"
	Canceled  Status = "canceled"
)

// Terminal reports whether nothing changes any more.
func (s Status) Terminal() bool {
	switch s {
	case Succeeded, Failed, TimedOut, Canceled:
		return true
	default:
		return false
	}
}
