// Package agentruntime knows the kinds of agents that can run a job. The task of an execution comes in, and a
// sandbox.Job goes out; after the job, its sandbox.Outcome comes in, and an execution.Result or execution.Failure
// goes out. The package starts no container and reads no configuration: package catalog declares the runtimes, and
// docs/runtimes.md describes them.
package agentruntime

import (
	"context"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Runtime is one kind of agent. It is a value: change a copy before you pass it to NewRegistry.
type Runtime struct {
	catalog.Runtime

	// Unavailable says what the operator has to do before jobs can use the runtime; empty if it is available.
	Unavailable string

	// OpenEgress opens the egress of one execution to one model, and to the door's hosts; nil: to no hosts. The calls
	// become part of ctx's trace. Nil if the runtime has no egress.
	OpenEgress func(ctx context.Context, e *execution.Execution, model string, door *forward.Door) Egress
	// Forward opens the way to the hosts that an environment allows. It is never nil.
	Forward *forward.Proxy
}

// Egress serves the requests of one execution and counts them.
type Egress interface {
	sandbox.Egress
	Summary() gateway.Summary
	// OnWait registers a function that is told when requests wait for the provider. It must be called before Serve.
	OnWait(onWait func(status int, delay time.Duration))
}

// FromCatalog makes a runtime from an entry of the catalog. gw is nil if the operator has set no API key; then a
// runtime that needs a gateway is unavailable. The runtime's environments reach no hosts: see Runtime.Forward.
func FromCatalog(entry catalog.Runtime, gw *gateway.Gateway) Runtime {
	r := Runtime{Runtime: entry, Forward: forward.New(forward.Config{Ceiling: environment.Rules{}})}
	switch {
	case entry.Egress == nil:
	case gw == nil:
		r.Unavailable = "the operator has to set " + entry.KeyEnv()
	default:
		policy := gateway.Policy{Betas: entry.Egress.Betas, Headers: entry.Egress.Headers, Prices: map[string]gateway.Price{}}
		for model, price := range entry.Egress.Prices {
			policy.Prices[model] = gateway.Price(price)
		}
		for _, route := range entry.Egress.Routes {
			policy.Routes = append(policy.Routes, gateway.Route(route))
		}
		r.OpenEgress = func(ctx context.Context, e *execution.Execution, model string, door *forward.Door) Egress {
			executionPolicy := policy
			executionPolicy.Door = door
			executionPolicy.Models = []string{model}
			executionPolicy.Budget = gateway.Budget{Tokens: e.Task.Budget.MaxTokens, CostUSD: e.Task.Budget.MaxCostUSD}
			executionPolicy.PreviousUsage = gateway.Budget{Tokens: e.Usage.InputTokens + e.Usage.OutputTokens, CostUSD: e.Usage.CostUSD}
			return gw.OpenEndpoint(ctx, e.ID, executionPolicy)
		}
	}
	return r
}

// Registry selects the runtime of a task by its name. It is safe for concurrent use.
type Registry struct{ runtimes []Runtime }

// NewRegistry returns a registry. A task that names no runtime gets the first available one.
func NewRegistry(runtimes ...Runtime) *Registry { return &Registry{runtimes: runtimes} }

// All returns the runtimes in the order of NewRegistry, including the unavailable ones.
func (r *Registry) All() []Runtime { return r.runtimes }

// Available returns the names of the runtimes that jobs can use.
func (r *Registry) Available() []string {
	names := []string{}
	for _, candidate := range r.runtimes {
		if candidate.Unavailable == "" {
			names = append(names, candidate.Name)
		}
	}
	return names
}

// trialTimeout is the time after which the agent of a trial is ended, if it has not ended by itself.
const trialTimeout = time.Second

// Trial returns a job of an available runtime that starts the agent without a task and without egress. It shows whether
// the image has the agent's program.
func (r *Registry) Trial(name string) sandbox.Job {
	chosen, _ := r.choose(name)
	model := chosen.DefaultModel()
	return sandbox.Job{
		Execution: "trial", Image: chosen.Image, Argv: chosen.Command(model), Env: chosen.Environment(model), Timeout: trialTimeout,
		Limits: chosen.jobLimits(),
	}
}

// Prepare makes the job of one attempt. A failure is final, because every other attempt here would fail in the same
// way: the runtime is not available, or it cannot run this task. Prepare uses ctx only for its trace, to which the
// agent's calls to the model belong.
func (r *Registry) Prepare(ctx context.Context, e *execution.Execution) (*Run, *execution.Failure) {
	chosen, failure := r.choose(e.Task.Runtime)
	if failure != nil {
		return nil, failure
	}
	return chosen.prepare(ctx, e)
}

func (r *Registry) choose(name string) (Runtime, *execution.Failure) {
	var available []string
	for _, candidate := range r.runtimes {
		switch {
		case candidate.Unavailable == "" && (name == "" || name == candidate.Name):
			return candidate, nil
		case candidate.Unavailable == "":
			available = append(available, candidate.Name)
		case name == candidate.Name:
			return Runtime{}, newFailure(execution.CodeNoExecutor, "the runtime %q is not available: %s", name, candidate.Unavailable)
		}
	}
	if name == "" {
		return Runtime{}, newFailure(execution.CodeNoExecutor, "no runtime is available")
	}
	return Runtime{}, newFailure(execution.CodeNoExecutor, "unknown runtime %q; available runtimes: %s", name, strings.Join(available, ", "))
}
