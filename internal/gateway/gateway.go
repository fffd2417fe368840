// Package gateway is the only connection from a sandbox to the outside. Requests of an agent come in over the
// listener of an Endpoint; requests that the runtime's Policy allows go out to one model's API, with the operator's
// key; a Summary of calls, tokens and cost comes back. The agent is not trusted: the gateway builds every upstream
// request itself, and denies what is not on a list. It never gives the key to a sandbox, and never stores or logs a
// body.
package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// Gateway opens the endpoints of one upstream. It is safe for concurrent use.
type Gateway struct {
	settings  Settings
	spec      apiSpec
	transport *http.Transport
}

// New validates the settings and returns a gateway. The error lists every mistake in them.
func New(s Settings) (*Gateway, error) {
	s.API = cmp.Or(s.API, MessagesAPI)
	s.CallTimeout = cmp.Or(s.CallTimeout, defaultCallTimeout)
	s.IdleTimeout = cmp.Or(s.IdleTimeout, defaultIdleTimeout)
	s.BodyTimeout = cmp.Or(s.BodyTimeout, defaultBodyTimeout)
	s.MaxRequestSize = cmp.Or(s.MaxRequestSize, defaultMaxBodySize)
	s.MaxResponseSize = cmp.Or(s.MaxResponseSize, defaultMaxBodySize)
	if s.Log == nil {
		s.Log = zap.NewNop()
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return &Gateway{settings: s, spec: apiSpecs[s.API], transport: newTransport(s)}, nil
}

// Close closes idle upstream connections. It does not close endpoints; their owners do.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

// OpenEndpoint opens the egress of one execution. It forwards only what both the operator's settings and the policy
// allow; an empty policy allows nothing. The endpoint ends with its Close and not with ctx, from which it takes only
// the trace.
func (g *Gateway) OpenEndpoint(ctx context.Context, executionID string, p Policy) *Endpoint {
	if allowed := g.settings.Models; len(allowed) > 0 {
		p.Models = slices.DeleteFunc(slices.Clone(p.Models), func(model string) bool { return !slices.Contains(allowed, model) })
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &Endpoint{
		gateway:   g,
		policy:    p,
		ctx:       ctx,
		cancel:    cancel,
		log:       g.settings.Log.With(zap.String("execution", executionID), trace.LogField(ctx)),
		budget:    newBudgetTracker(g.settings.Budget.tightest(p.Budget), p.PreviousUsage, p.Prices),
		bodyBytes: semaphore.NewWeighted(2 * g.settings.MaxRequestSize),
	}
	s.server = newServer(s, s.log)
	return s
}
