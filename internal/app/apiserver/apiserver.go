// Package apiserver runs the API as a service. The settings of the environment come in; the package connects the
// services, wires the API to them and serves it until its context ends. It decides nothing about a request: that is
// package api's. It never imports an emulator, the sandbox or an executor.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/api"
	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/auth/oidc"
	"github.com/airlock-run/airlock/internal/api/ratelimit"
	"github.com/airlock-run/airlock/internal/app/backend"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/livesteps"
	"github.com/airlock-run/airlock/internal/membership"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/process"
	"github.com/airlock-run/airlock/internal/quota"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/telemetry/backlog"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
	"github.com/airlock-run/airlock/internal/usagewriter"
	"github.com/airlock-run/airlock/internal/watch"
	"github.com/airlock-run/airlock/web"
)

// Run serves the API and the page until ctx ends. It calls onListening with its address as soon as it accepts
// connections.
func Run(ctx context.Context, s Settings, log *zap.Logger, onListening func(net.Addr)) (err error) {
	if len(s.UnknownVariables) > 0 {
		log.Warn("no program reads these variables", zap.Strings("variables", s.UnknownVariables))
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.ListenAddr)
	if err != nil {
		return fmt.Errorf("listen on %s (is another server there? choose another address): %w", s.ListenAddr, err)
	}
	defer listener.Close() // Serve has closed it already, unless there is an error before
	if err := s.CheckBoundAddr(listener.Addr()); err != nil {
		return err
	}
	tracer, flushTraces, err := trace.Start(ctx, trace.Config{
		Enabled: s.Traces.Enabled(), Service: "airlock-api", Version: config.Version,
	}, log)
	if err != nil {
		return err
	}
	defer flushTraces()
	b, err := backend.Connect(ctx, s.Cloud)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	authenticator, err := newAuthenticator(ctx, s, b.Store, log.Named("oidc"))
	if err != nil {
		return err
	}

	limits := quota.Limits{Queued: s.MaxQueued, Running: s.MaxRunning, DailyUSD: s.MaxDailyCostUSD, Files: s.MaxFiles, FileBytes: s.MaxFilesMiB << 20}
	view := membership.NewView(b.Store)
	enforcer := quota.New(quota.Config{Store: b.Store, Limits: limits, Fleet: view, Log: log.Named("quota")})
	stopUsage := usagewriter.Start(ctx, usagewriter.Config{
		Store: b.Store, Fleet: view, Defaults: s.TenantLimits.Defaults(), Log: log.Named("usage"),
	})
	defer stopUsage()
	metricsHandler := metrics.Handler(backlog.New(b.Store, time.Now, log.Named("backlog")))
	processID := id.New(id.Process)
	settings := api.Config{
		Stores: api.StoresOf(b.Store), Submitter: enforcer, Queue: b.Queue, Log: log.Named("api"), StartableRuntimes: view.StartableRuntimes,
		Watch: watch.New(b.Store, processID, log.Named("watch")), LiveSteps: livesteps.NewFollower(b.Store, log.Named("livesteps")),
		Version: config.Version, Runtimes: s.runtimes, Capabilities: s.capabilities, DefaultRuntime: s.DefaultRuntime, Origins: s.CORSAllowedOrigins,
		QueueTimeout: s.QueueTimeout, FileRetention: s.FileRetention, WebUI: web.Handler(web.Page()), Artifacts: b.Blobs,
		DrainDelay: s.ShutdownDrainPeriod, WebhookGuard: netguard.Guard{Allow: s.WebhookPrivateNetworks}, EgressHosts: s.EgressHosts,
		Auth: authenticator, OperatorKey: s.operatorKey, APIKeyPepper: s.pepper, Limits: newLimits(s.API), PromptRules: s.promptRules, Tracer: tracer,
		TenantDefaults: s.TenantLimits.Defaults(),
	}
	if s.MetricsListenAddr == "" {
		settings.Metrics = metricsHandler
	}
	server := api.New(settings)
	log.Info("API is listening", zap.Stringer("address", listener.Addr()))
	onListening(listener.Addr())

	member := membership.NewMember(membership.MemberConfig{
		Store: b.Store, Process: processID, Kind: fleet.KindAPI, Version: config.Version, Log: log.Named("session"),
	})

	b.Store.UseSession(member.SessionID)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return member.Run(ctx) })
	g.Go(func() error { return server.Serve(ctx, listener, s.ShutdownGracePeriod) })
	g.Go(func() error { return enforcer.Run(ctx) })
	if s.MetricsListenAddr != "" {
		g.Go(func() error {
			return process.ServeHTTP(ctx, s.MetricsListenAddr, "metrics", metrics.Route(metricsHandler))
		})
	}
	return g.Wait()
}

// newAuthenticator returns what authenticates callers until ctx ends. An unreachable OIDC provider is an error.
func newAuthenticator(ctx context.Context, s Settings, st *store.Store, log *zap.Logger) (api.Authenticator, error) {
	switch s.EffectiveAuthMode() {
	case config.AuthKeys:
		return auth.NewKeyVerifier(st, *s.pepper, nil), nil
	case config.AuthOIDC:
		p := s.OIDCProvider
		operatorClaim, operatorValue := p.SplitOperatorClaim()
		return oidc.New(ctx, oidc.Config{
			Issuer: p.Issuer, Audience: p.Audience, KeysURL: p.JWKSURL, Algorithms: p.Algorithms,
			TokenHeader: p.Header, TenantClaim: p.TenantClaim, ScopesClaim: p.ScopesClaim, Leeway: p.Leeway,
			OperatorClaim: operatorClaim, OperatorValue: operatorValue,
		}, nil, log)
	default:
		// With a key, the operator need not be believed without one.
		return api.DevAuthenticator{BelieveOperator: s.operatorKey == nil}, nil
	}
}

func newLimits(c config.API) api.Limits {
	rate := c.EffectiveRateLimit()
	return api.Limits{
		Requests:       ratelimit.NewBuckets(rate, max(1, int(2*rate)), nil),
		AuthFailures:   ratelimit.NewBuckets(float64(c.AuthFailureLimit)/60, c.AuthFailureLimit, nil),
		MaxConnections: c.MaxConnections,
		TrustedProxies: ipNets(c.TrustedProxies),
	}
}

func ipNets(prefixes []netip.Prefix) []*net.IPNet {
	nets := make([]*net.IPNet, len(prefixes))
	for i, p := range prefixes {
		nets[i] = &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	}
	return nets
}
