// Package runtime knows the kinds of agents that a job can be run with: how
// they are called, and how what they leave behind becomes a result or a
// failure. Which there are, catalog says; docs/runtimes.md describes it all.
package agentruntime

import (
	"context"
	"fmt"
	"strings"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Runtime is one kind of agent. It is a value: change a copy before New.
type Runtime struct {
	catalog.Runtime

	// Unavailable says what the operator has to do before jobs can use the
	// runtime; empty when they can.
	Unavailable string

	// OpenEgress opens the way out of one execution, to one model, whose calls
	// are part of ctx's trace; nil: there is none.
	OpenEgress func(ctx context.Context, e *execution.Execution, model string) Egress
}

// Egress is the way out of one execution and the record of what went through.
type Egress interface {
	sandbox.Egress
	Summary() gateway.Summary
}

// From makes the runtime of a catalog's entry. Without a gateway, which there is
// only where the operator has an API key, one that needs it is not available.
func FromCatalog(entry catalog.Runtime, gw *gateway.Gateway) Runtime {
	r := Runtime{Runtime: entry}
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
		r.OpenEgress = func(ctx context.Context, e *execution.Execution, model string) Egress {
			executionPolicy := policy
			executionPolicy.Models = []string{model}
			executionPolicy.Budget = gateway.Budget{Tokens: e.Task.Budget.MaxTokens, CostUSD: e.Task.Budget.MaxCostUSD}
			executionPolicy.PreviousUsage = gateway.Budget{Tokens: e.Usage.InputTokens + e.Usage.OutputTokens, CostUSD: e.Usage.CostUSD}
			return gw.OpenSession(ctx, e.ID, executionPolicy)
		}
	}
	return r
}

// Registry chooses the runtime of a task by its name. It is safe for concurrent use.
type Registry struct{ runtimes []Runtime }

// New makes a registry. Tasks that name no runtime get the first that is available.
func NewRegistry(runtimes ...Runtime) *Registry { return &Registry{runtimes: runtimes} }

// All lists the runtimes in their order, also those that are not available.
func (r *Registry) All() []Runtime { return r.runtimes }

// Prepare makes the job of one attempt. A failure says that no attempt will
// ever do better: the runtime is not there, or the task cannot be put to it. Of
// ctx only the trace counts, which the calls of the agent to its model belong to.
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
			return Runtime{}, unknownRuntimeFailure("the runtime %q is not available here: %s", name, candidate.Unavailable)
		}
	}
	if name == "" {
		return Runtime{}, unknownRuntimeFailure("no runtime is available here")
	}
	return Runtime{}, unknownRuntimeFailure("there is no runtime %q here, only: %s", name, strings.Join(available, ", "))
}

func unknownRuntimeFailure(format string, args ...any) *execution.Failure {
	return &execution.Failure{Code: execution.CodeUnknownRuntime, Message: fmt.Sprintf(format, args...)}
}
