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
func RunAPI(ctx context.Context, c API, log *zap.Logger, onListening func(net.Addr)) (err error) {
	runtimes, err := catalog.Load(c.RuntimesFile)
	if err != nil {
		return err
	}
	promptRules, err := promptrules.Load(c.PromptRulesFile)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.ListenAddr)
	if err != nil {
		return fmt.Errorf("listen on %s (is another server there? choose another address): %w", c.ListenAddr, err)
	}
	if err := c.checkBoundAddr(listener.Addr()); err != nil {
		return errors.Join(err, listener.Close())
	}
	tracer, flushTraces, err := trace.Start(ctx, c.Traces, "airlock-api", Version, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer flushTraces()
	conn, err := dial(ctx, c.Cloud)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, conn.close()) }()
	auth, pepper, err := c.newAuthenticator(ctx, conn.store, log.Named("oidc"))
	if err != nil {
		return errors.Join(err, listener.Close())
	}

	metricsHandler := metrics.Handler(backlog.New(conn.store, time.Now, log.Named("backlog")))
	settings := api.Config{
		Version: Version, Runtimes: runtimes.Names(), DefaultRuntime: c.DefaultRuntime, Origins: c.CORSAllowedOrigins,
		BatchWindow: c.BatchWindow, QueueTimeout: c.QueueTimeout, WebUI: web.Handler(web.Page()), Artifacts: conn.blobs, DrainDelay: c.ShutdownDrainPeriod,
		WebhookGuard: netguard.Guard{Allow: c.WebhookPrivateNetworks},
		Auth:         auth, Pepper: pepper, Limits: c.newLimits(), PromptRules: promptRules, Tracer: tracer,
	}
	if c.MetricsListenAddr == "" {
		settings.Metrics = metricsHandler
	}
	quotaStore := c.newQuotaStore(conn, log)
	server := api.New(settings, quotaStore, conn.queue, log.Named("api"))
	log.Info("API is listening", zap.Stringer("address", listener.Addr()))
	onListening(listener.Addr())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Serve(ctx, listener, c.ShutdownGracePeriod) })
	g.Go(func() error { return quotaStore.Run(ctx) })
	if c.MetricsListenAddr != "" {
		g.Go(func() error { return serveMetrics(ctx, c.MetricsListenAddr, metricsHandler) })
	}
	return g.Wait()
}
