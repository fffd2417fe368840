package agentruntime

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/agentruntime/session"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Run is one job of one attempt, from what goes into the sandbox to the reading
// of what comes out.
type Run struct {
	Job   sandbox.Job
	Model string // that the agent is to use; empty: none

	runtime     catalog.Runtime
	contract    contract
	hasSchema   bool   // the task has a schema
	sessionPath string // path of the agent's own memory; empty: it has none that is kept
	egress      Egress
}

// contract is one way to call an agent and to read what it printed. Both are
// without state.
type contract interface {
	// call completes a Run whose Job has all but argv, environment, input and files.
	prepareJob(r *Run, e *execution.Execution) *execution.Failure
	// show passes on what one line of its output says of what it does.
	reportSteps(line []byte, seen func(execution.StepKind, string))
	// read judges an agent that ended by itself.
	parseResult(r *Run, o sandbox.Outcome) (*execution.Result, *execution.Failure)
}

var contracts = map[catalog.Contract]contract{
	catalog.StreamJSON: streamJSON{},
	catalog.Command:    command{},
}

const homeDir = "/home/agent"

// prepare puts nothing that a tenant wrote on the command line, except for the
// stream-json contract's schema.
func (r Runtime) prepare(ctx context.Context, e *execution.Execution) (*Run, *execution.Failure) {
	model, failure := r.resolveModel(e.Task.Model)
	if failure != nil {
		return nil, failure
	}
	env := r.Environment()
	for _, name := range r.ModelEnv {
		env = append(env, name+"="+model)
	}
	run := &Run{
		Model: model, runtime: r.Runtime, contract: contracts[r.Contract], hasSchema: e.Task.Schema != "",
		Job: sandbox.Job{
			Execution: e.ID, Image: r.Image, Argv: r.Command(model), Env: env,
			Timeout: e.Timeout, IdleTimeout: time.Duration(r.IdleTimeout),
			Limits: sandbox.Limits{
				Memory: int64(r.Limits.Memory), CPUs: r.Limits.CPUs, PIDs: r.Limits.PIDs, Output: int64(r.Limits.Output),
			},
		},
	}
	if maxTimeout := time.Duration(r.MaxTimeout); maxTimeout > 0 {
		run.Job.Timeout = min(run.Job.Timeout, maxTimeout)
	}
	if failure := run.contract.prepareJob(run, e); failure != nil {
		return nil, failure
	}
	if failure := run.addInputFiles(e.Task.InputFiles); failure != nil {
		return nil, failure
	}
	if r.OpenEgress != nil {
		run.egress = r.OpenEgress(ctx, e, model)
		run.Job.Egress = run.egress
	}
	return run, nil
}

func (r Runtime) resolveModel(requested string) (string, *execution.Failure) {
	switch {
	case len(r.Models) == 0:
		return "", nil
	case requested == "":
		return r.Models[0], nil
	}
	if !slices.Contains(r.Models, requested) {
		return "", newFailure(execution.CodeModelNotAllowed, "the model %q cannot be used with the runtime %q, only: %s", requested, r.Name, strings.Join(r.Models, ", "))
	}
	return requested, nil
}

// Left is what the agent wants to find at the next turn, if that may be kept.
func (r *Run) ExtractSession(o sandbox.Outcome) *execution.Session {
	i := slices.IndexFunc(o.Files, func(f sandbox.OutputFile) bool { return f.Path == r.sessionPath })
	if r.sessionPath == "" || i < 0 || o.Files[i].Content.Size() > execution.MaxSessionBytes {
		return nil
	}
	data, err := io.ReadAll(o.Files[i].Content)
	if err != nil || session.Validate(data) != nil {
		return nil // not worth failing the turn: the messages are kept besides
	}
	return &execution.Session{Runtime: r.runtime.Name, Model: r.Model, Data: data}
}

// resumes says whether the task brings a session that this agent may go on from.
func (r *Run) canResume(t execution.Task) bool {
	s := t.Session
	return s != nil && s.Runtime == r.runtime.Name && s.Model == r.Model
}

// Usage is what the run has cost so far. It is right after any end of the job,
// also one that gave no outcome.
func (r *Run) Usage() execution.Usage {
	s := r.Egress()
	return execution.Usage{
		InputTokens:  s.Tokens.Input + s.Tokens.CacheRead + s.Tokens.CacheWrite5m + s.Tokens.CacheWrite1h,
		OutputTokens: s.Tokens.Output,
		CostUSD:      s.CostUSD,
		Calls:        s.Calls,
	}
}

// Egress is what went through the way out so far; nothing where there is none.
func (r *Run) Egress() gateway.Summary {
	if r.egress == nil {
		return gateway.Summary{}
	}
	return r.egress.Summary()
}
