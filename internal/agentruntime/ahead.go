package agentruntime

import (
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// PrepareStart returns how the agent of an execution is started, without what it is to do; nil: agents of its runtime
// are not started ahead. The job of Prepare can use an agent that was started so, if nothing about its start has
// changed.
func (r *Registry) PrepareStart(e *execution.Execution) *sandbox.Job {
	chosen, failure := r.choose(e.Task.Runtime)
	if failure != nil {
		return nil
	}
	return chosen.prepareStart(e)
}

// Ahead returns how the agents of the runtime are started that fit any task; nil: they are not started ahead.
func (r Runtime) Ahead() *sandbox.Job { return r.prepareStart(&execution.Execution{}) }

func (r Runtime) prepareStart(e *execution.Execution) *sandbox.Job {
	run, failure := r.prepareJob(e)
	if failure != nil || run.Job.Ahead == nil {
		return nil
	}
	return &run.Job
}

// prepareAhead completes how the agent of the job is started. Without Job.Ahead it starts with its job.
func (r *Run) prepareAhead(e *execution.Execution, egress bool) {
	ahead := r.Job.Ahead
	if !r.entry.StartAhead || slices.ContainsFunc(e.Task.InputFileList, func(f execution.File) bool { return r.contract.readsAtStart(f.Path) }) {
		r.Job.Files, r.Job.Ahead = append(r.Job.Files, ahead.Files...), nil
		return
	}
	ahead.Egress = egress
	if !e.Task.Settings.IsZero() || !e.Task.Environment.IsZero() {
		ahead.Owner = e.Tenant
	}
	if r.sessionFile != nil || !e.Task.Workspace.Empty() {
		ahead.Owner, ahead.Once = e.Tenant+" "+e.ConversationID, true
	}
}

// readsAtStart reports whether the CLI reads a file of its working folder when it starts.
func (streamJSON) readsAtStart(name string) bool {
	return slices.Contains([]string{"CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", ".mcp.json"}, name) || strings.HasPrefix(name, ".claude/")
}

// readsAtStart is false: a program that is started ahead says that it reads its input first.
func (command) readsAtStart(string) bool { return false }
