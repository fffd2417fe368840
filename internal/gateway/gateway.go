// Package gateway is the only way out of a sandbox. It stands between an agent,
// which is not trusted with anything, and its model's API, for which it alone
// holds the key: it lets through what the runtime declares, rebuilds every
// request, and counts what the provider says was used.
package gateway

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// Settings are the operator's. Zero durations and sizes mean the defaults.
type Settings struct {
	API      API      // that the upstream speaks; default MessagesAPI
	Upstream *url.URL // with neither query nor user
	APIKey   string

	// Models that may be used, of those that the runtime declares. Empty: all of them.
	Models []string
	// AllowPrivateUpstream lets the upstream's name resolve to an address that
	// is not public. An upstream given as such an address, or as localhost,
	// needs no leave.
	AllowPrivateUpstream bool
	// RootCAs are those that an https upstream's certificate may come from; nil: the system's.
	RootCAs *x509.CertPool
	// Budget of one execution; zero fields do not limit.
	Budget Budget

	CallTimeout     time.Duration // of one call, from its sending to the answer's last byte; default 10m
	IdleTimeout     time.Duration // of an answer that has begun: between two reads from upstream, or for one write to the sandbox; default 60s
	BodyTimeout     time.Duration // for the sandbox to send a request's body; default 30s
	MaxRequestSize  int64         // bytes of one request's body; default 32 MiB, what the Messages API takes
	MaxResponseSize int64         // bytes of one answer; default 32 MiB

	Logger *zap.Logger
}

// Budget bounds what one execution may use.
type Budget struct {
	Tokens  int64
	CostUSD float64
}

// and is a budget that keeps both.
func (b Budget) tightest(o Budget) Budget {
	return Budget{Tokens: minLimit(b.Tokens, o.Tokens), CostUSD: minLimit(b.CostUSD, o.CostUSD)}
}

// tighter is the smaller of two limits, of which zero is none.
func minLimit[N int64 | float64](a, b N) N {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

const (
	defaultCallTimeout = 10 * time.Minute
	defaultIdleTimeout = time.Minute
	defaultBodyTimeout = 30 * time.Second
	defaultMaxBodySize = 32 << 20
)

// Gateway makes the sessions. It is safe for concurrent use.
type Gateway struct {
	settings  Settings
	spec      apiSpec
	transport *http.Transport
}

// New checks the settings and says everything that is wrong with them at once.
func New(s Settings) (*Gateway, error) {
	s.API = cmp.Or(s.API, MessagesAPI)
	s.CallTimeout = cmp.Or(s.CallTimeout, defaultCallTimeout)
	s.IdleTimeout = cmp.Or(s.IdleTimeout, defaultIdleTimeout)
	s.BodyTimeout = cmp.Or(s.BodyTimeout, defaultBodyTimeout)
	s.MaxRequestSize = cmp.Or(s.MaxRequestSize, defaultMaxBodySize)
	s.MaxResponseSize = cmp.Or(s.MaxResponseSize, defaultMaxBodySize)
	if s.Logger == nil {
		s.Logger = zap.NewNop()
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return &Gateway{settings: s, spec: apiSpecs[s.API], transport: newTransport(s)}, nil
}

func (s Settings) validate() error {
	var errs []error
	switch u := s.Upstream; {
	case u == nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		errs = append(errs, errors.New("the upstream must be an http or https URL"))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		errs = append(errs, errors.New("the upstream must have neither user, query nor fragment"))
	case u.Scheme == "http" && !isLocal(u.Hostname()) && !s.AllowPrivateUpstream:
		errs = append(errs, errors.New("an upstream that is not on this machine must use https"))
	}
	if _, known := apiSpecs[s.API]; !known {
		errs = append(errs, fmt.Errorf("there is no API %q", s.API))
	}
	if s.APIKey == "" {
		errs = append(errs, errors.New("the API key is missing"))
	}
	if s.CallTimeout < 0 || s.IdleTimeout < 0 || s.BodyTimeout < 0 || s.MaxRequestSize < 0 || s.MaxResponseSize < 0 ||
		s.Budget.Tokens < 0 || s.Budget.CostUSD < 0 {
		errs = append(errs, errors.New("times, sizes and budgets cannot be negative"))
	}
	return errors.Join(errs...)
}

func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && !netguard.IsPublic(addr)
}

// Models are those that the operator allows; none means that the runtime chooses.
func (g *Gateway) Models() []string { return slices.Clone(g.settings.Models) }

// Close lets go of idle connections. Sessions are closed by their owners.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

// Session makes the way out of one execution. Only what both the operator and
// the policy allow goes through it; an empty policy allows nothing. It lasts until
// it is closed, whatever becomes of ctx, which says whose trace the calls belong to.
func (g *Gateway) OpenSession(ctx context.Context, executionID string, p Policy) *Session {
	if allowed := g.settings.Models; len(allowed) > 0 {
		p.Models = slices.DeleteFunc(slices.Clone(p.Models), func(model string) bool { return !slices.Contains(allowed, model) })
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &Session{
		gateway:   g,
		policy:    p,
		ctx:       ctx,
		cancel:    cancel,
		log:       g.settings.Logger.With(zap.String("execution", executionID), trace.LogField(ctx)),
		budget:    newBudgetTracker(g.settings.Budget.tightest(p.Budget), p.PreviousUsage, p.Prices),
		bodyBytes: semaphore.NewWeighted(2 * g.settings.MaxRequestSize),
	}
	s.server = newServer(s, s.log)
	return s
}
