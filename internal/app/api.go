package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/api"
	"github.com/airlock-run/airlock/internal/api/promptrules"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/telemetry/backlog"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
	"github.com/airlock-run/airlock/web"
)

// RunAPI serves the API and the page until ctx ends. It calls listening with
// its address once it accepts connections.
func RunAPI(ctx context.Context, c API, log *zap.Logger, listening func(net.Addr)) (err error) {
	runtimes, err := catalog.Load(c.RuntimesFile)
	if err != nil {
		return err
	}
	rules, err := promptrules.Load(c.PromptRulesFile)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s (is another server there? choose another address): %w", c.Listen, err)
	}
	if err := c.guard(l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	tracer, flush, err := trace.Start(ctx, c.Traces, "airlock-api", Version, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer flush()
	conn, err := connect(ctx, c.Cloud)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, conn.close()) }()
	auth, pepper, err := c.authenticator(ctx, conn.store, log.Named("oidc"))
	if err != nil {
		return errors.Join(err, l.Close())
	}

	shown := metrics.Handler(backlog.New(conn.store, time.Now, log.Named("backlog")))
	settings := api.Config{
		Version: Version, Runtimes: runtimes.Names(), DefaultRuntime: c.DefaultRuntime, Origins: c.Origins,
		BatchWindow: c.BatchWindow, QueueTimeout: c.QueueTimeout, Page: web.Handler(web.Page()), Artifacts: conn.artifacts, Drain: c.Drain,
		WebhookGuard: netguard.Guard{Allow: c.WebhookPrivate},
		Auth:         auth, Pepper: pepper, Limits: c.limits(), Rules: rules, Tracer: tracer,
	}
	if c.MetricsListen == "" {
		settings.Metrics = shown
	}
	limited := c.limited(conn, log)
	server := api.New(settings, limited, conn.queue, log.Named("api"))
	log.Info("API is listening", zap.Stringer("address", l.Addr()))
	listening(l.Addr())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Serve(ctx, l, c.Grace) })
	g.Go(func() error { return limited.Run(ctx) })
	if c.MetricsListen != "" {
		g.Go(func() error { return serveMetrics(ctx, c.MetricsListen, shown) })
	}
	return g.Wait()
}
