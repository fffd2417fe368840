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
	"golang.org/x/time/rate"

	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// Gateway opens the endpoints of one upstream. It is safe for concurrent use.
type Gateway struct {
	config    Config
	spec      apiSpec
	transport *http.Transport
	drain     drainLimits
}

// New validates the configuration and returns a gateway. The error lists every mistake in it.
func New(c Config) (*Gateway, error) {
	c.API = cmp.Or(c.API, MessagesAPI)
	c.Backoff = cmp.Or(c.Backoff, defaultBackoff)
	c.CallTimeout = cmp.Or(c.CallTimeout, defaultCallTimeout)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, defaultIdleTimeout)
	c.BodyTimeout = cmp.Or(c.BodyTimeout, defaultBodyTimeout)
	c.MaxRequestSize = cmp.Or(c.MaxRequestSize, defaultMaxBodySize)
	c.MaxResponseSize = cmp.Or(c.MaxResponseSize, defaultMaxBodySize)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return &Gateway{
		config: c, spec: apiSpecs[c.API], transport: newTransport(c),
		drain: drainLimits{drainSilence, drainTime, drainSize},
	}, nil
}

// Close closes idle upstream connections. It does not close endpoints; their owners do.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

// OpenEndpoint opens the egress of one execution. It forwards only what both the operator's configuration and the
// policy allow; an empty policy allows nothing. The endpoint ends with its Close and not with ctx, from which it takes
// only the trace.
func (g *Gateway) OpenEndpoint(ctx context.Context, executionID string, p Policy) *Endpoint {
	if allowed := g.config.Models; len(allowed) > 0 {
		p.Models = slices.DeleteFunc(slices.Clone(p.Models), func(model string) bool { return !slices.Contains(allowed, model) })
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	e := &Endpoint{
		gateway:   g,
		policy:    p,
		ctx:       ctx,
		cancel:    cancel,
		budget:    newBudgetTracker(g.config.Budget.tightest(p.Budget), p.PreviousUsage, p.Prices),
		waits:     newWaitClock(g.config.MaxWait),
		bodyBytes: semaphore.NewWeighted(2 * g.config.MaxRequestSize),

		requestRate:    rate.NewLimiter(maxRate, maxBurst),
		connectionRate: rate.NewLimiter(maxRate, maxBurst),
		connections:    maxConnections,
		bodyRate:       rate.NewLimiter(maxBodyRate, int(2*g.config.MaxRequestSize)),
	}
	e.unlimitedLog = g.config.Log.With(zap.String("execution", executionID), trace.LogField(ctx))
	e.log, e.logLines = limitLines(e.unlimitedLog)
	if p.Door != nil {
		e.connectionRate = rate.NewLimiter(forward.MaxConnections, forward.MaxConnections)
		e.connections += forward.MaxConnections
	}
	e.server = newServer(http.HandlerFunc(e.serve), e.log)
	return e
}
