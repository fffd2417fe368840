package execution

import (
	"fmt"
	"slices"
	"time"
)

// startableWith reports whether a task can run where these runtimes can be started. A task that names no runtime takes
// any. nil means that the runtimes are not known.
func (t *Task) startableWith(runtimes []string) bool {
	return runtimes == nil || slices.Contains(runtimes, t.Runtime) || t.Runtime == "" && len(runtimes) > 0
}

// WaitsForExecutor reports whether the execution is queued and none of the runtimes that living executors can start is
// its own. nil means that the runtimes are not known.
func (e *Execution) WaitsForExecutor(runtimes []string) bool {
	return e.Status == Queued && !e.Task.startableWith(runtimes)
}

// WaitsForBudget reports whether the execution is queued for a later day, because its agent has used up its daily
// budget.
func (e *Execution) WaitsForBudget(now time.Time) bool {
	return e.Status == Queued && e.Task.DailyBudget.USD > 0 && e.QueuedAt.Sub(now) > 2*maxBackoff
}

// neverStartableFailure is that of an execution whose start deadline has passed while no living executor could take it.
func (e *Execution) neverStartableFailure() *Failure {
	what := "a runtime"
	if e.Task.Runtime != "" {
		what = fmt.Sprintf("the runtime %q", e.Task.Runtime)
	}
	return &Failure{
		Code: CodeNoExecutor,
		Message: fmt.Sprintf("No executor could start %s, so no attempt began within %s, the queue time-out of this execution. "+
			"Run it again after the operator has started an executor that can.", what, e.QueueTimeout),
	}
}
