package execution

import (
	"fmt"
	"slices"
)

// StartFailures counts the attempts of an execution whose job never began.
type StartFailures struct {
	Count      int      `firestore:"count"`
	Executors  []string `firestore:"executors"`  // those that cannot start the image of the runtime, each once
	LastReason string   `firestore:"lastReason"` // for people
}

// An execution ends as CodeNoExecutor after so many failed starts, or when so many executors cannot start its image:
// then the next one would most likely fail as well. An Engine that fails now and then does not count as an executor
// that cannot: three executors may share it, or share its trouble.
const (
	MaxStartFailures         = 10
	MaxStartFailureExecutors = 3
)

// add returns f with one more failed start. executor is empty unless that one cannot start the image. f may be nil, and
// does not change.
func (f *StartFailures) add(executor, reason string) *StartFailures {
	next := StartFailures{Count: 1, LastReason: reason}
	if f != nil {
		next.Count += f.Count
		next.Executors = slices.Clone(f.Executors)
	}
	if executor != "" && !slices.Contains(next.Executors, executor) {
		next.Executors = append(next.Executors, executor)
	}
	return &next
}

func (f *StartFailures) exhausted() bool {
	return f.Count >= MaxStartFailures || len(f.Executors) >= MaxStartFailureExecutors
}

func (f *StartFailures) failure() *Failure {
	return &Failure{
		Code: CodeNoExecutor,
		Message: fmt.Sprintf("No executor could start this execution in %d attempts. The last reason: %s. "+
			"The fault is in Airlock, not in the job. Run it again after the operator has fixed it.", f.Count, f.LastReason),
	}
}
