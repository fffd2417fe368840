package agentruntime

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/answerschema"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Run is one job of one attempt: it holds what goes into the sandbox and parses what comes out.
type Run struct {
	Job   sandbox.Job
	Model string // the model that the agent uses; empty if the runtime has none

	entry     catalog.Runtime
	contract  contract
	hasSchema bool // the task has a schema
	maxTurns  int  // of the stream-json contract

	answerSchema *answerschema.Schema // nil: the answer is not checked
	// collectsSession means that the agent leaves a session, and sessionFile is the one that it was given; nil: none.
	collectsSession bool
	sessionFile     []byte
	resumed         string // the ID of that session; empty: it has none
	egress          Egress
	door            *forward.Door // nil: the job has no network
	lines           lineSplitter  // of the output
	said            newestText
	onSaying        func(part string, begins bool) // may be nil
	unfinished      strings.Builder                // the beginning of the text that the agent is saying
	// reportUnfinished reports that text as an item, if there is one: the job was ended before the agent had said it. nil
	// unless OnItem was called.
	reportUnfinished func()
}

// prepare makes the job of an execution. Nothing that a tenant wrote is on the command line, except for the schema in
// the stream-json contract, and words from a list.
func (r Runtime) prepare(ctx context.Context, e *execution.Execution) (*Run, *execution.Failure) {
	run, failure := r.prepareJob(e)
	if failure != nil {
		return nil, failure
	}
	if run.Job.Network != nil {
		run.door = r.Forward.Open(e.ID, e.Task.Network.Rules())
	}
	switch {
	case r.OpenEgress != nil:
		run.egress = r.OpenEgress(ctx, e, run.Model, run.door)
		run.Job.Egress = run.egress
	case run.door != nil:
		run.Job.Egress = forward.NewEgress(run.door)
	}
	return run, nil
}

// prepareJob is prepare without the egress of the job.
func (r Runtime) prepareJob(e *execution.Execution) (*Run, *execution.Failure) {
	model, failure := r.resolveModel(e.Task.Model)
	if failure != nil {
		return nil, failure
	}
	if failure := r.checkSettings(e.Task.Settings); failure != nil {
		return nil, failure
	}
	run := &Run{
		Model: model, entry: r.Runtime, contract: contracts[r.Contract], hasSchema: schemaOf(e.Task) != "",
		Job: sandbox.Job{
			Execution: e.ID, Image: r.Image, Argv: r.Command(model), Env: r.Environment(model),
			Timeout: e.Timeout, IdleTimeout: time.Duration(r.IdleTimeout),
			Limits: r.jobLimits(), Ahead: &sandbox.Ahead{},
		},
	}
	if maxTimeout := time.Duration(r.MaxTimeout); maxTimeout > 0 {
		run.Job.Timeout = min(run.Job.Timeout, maxTimeout)
	}
	if failure := run.useSchema(e.Task); failure != nil {
		return nil, failure
	}
	if failure := run.contract.prepareJob(run, e); failure != nil {
		return nil, failure
	}
	if failure := run.addInputFiles(&e.Task); failure != nil {
		return nil, failure
	}
	run.addEnvironment(&e.Task)
	run.prepareAhead(e, r.OpenEgress != nil || run.Job.Network != nil)
	return run, nil
}

// schemaOf returns the schema that the agent is given.
func schemaOf(t execution.Task) string { return cmp.Or(t.Schema, t.Settings.Schema) }

func (r Runtime) jobLimits() sandbox.Limits {
	return sandbox.Limits{
		Memory: int64(r.Limits.Memory), CPUs: r.Limits.CPUs, PIDs: r.Limits.PIDs, Output: int64(r.Limits.Output),
	}
}

func (r Runtime) resolveModel(requested string) (string, *execution.Failure) {
	switch {
	case len(r.Models) == 0:
		return "", nil
	case requested == "":
		return r.DefaultModel(), nil
	}
	if !slices.Contains(r.Models, requested) {
		return "", newFailure(execution.CodeModelNotAllowed, "the runtime %q does not allow the model %q; allowed models: %s",
			r.Name, requested, strings.Join(r.Models, ", "))
	}
	return requested, nil
}

// Usage returns what the run has used so far. It is correct after every end of the job, including one without an
// outcome.
func (r *Run) Usage() execution.Usage {
	s := r.Egress()
	return execution.Usage{
		InputTokens:  s.Tokens.Input + s.Tokens.CacheRead + s.Tokens.CacheWrite5m + s.Tokens.CacheWrite1h,
		OutputTokens: s.Tokens.Output,
		CostUSD:      s.CostUSD,
		Calls:        s.Calls, EstimatedCalls: s.EstimatedCalls,
		ModelWait: s.Waited, Model: r.Model,
	}
}

// Egress returns what went through the gateway so far. It is zero if the runtime has no egress.
func (r *Run) Egress() gateway.Summary {
	if r.egress == nil {
		return gateway.Summary{}
	}
	return r.egress.Summary()
}
