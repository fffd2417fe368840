package app

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/background/batchdispatch"
	"github.com/airlock-run/airlock/internal/background/deadletter"
	"github.com/airlock-run/airlock/internal/background/janitor"
	"github.com/airlock-run/airlock/internal/background/webhookdispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

const (
	// closeTimeout bounds the removal of the last containers.
	driverCloseTimeout = 10 * time.Second
	// reapInterval is how often an executor removes what dead ones left on its Engine.
	reapInterval = time.Minute
)

// RunExecutor runs executions until ctx ends, then what Executor.Grace says.
func RunExecutor(ctx context.Context, c Executor, log *zap.Logger) (err error) {
	log = log.Named("executor").With(zap.String("executor", c.Name))
	tracer, flushTraces, err := trace.Start(ctx, c.Traces, "airlock-executor", Version, log)
	if err != nil {
		return err
	}
	defer flushTraces()
	conn, err := dial(ctx, c.Cloud)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.close()) }()

	registry, closeGateways, err := c.newRegistry(log)
	if err != nil {
		return err
	}
	defer closeGateways()
	receiptKey, err := c.loadReceiptKey()
	if err != nil {
		return err
	}
	driver, err := docker.New(c.dockerOptions(log, registry.All()...))
	if err != nil {
		return err
	}
	defer func() {
		cleanupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), driverCloseTimeout)
		defer cancel()
		err = errors.Join(err, driver.Close(cleanupCtx))
	}()

	batchDispatcher := batchdispatch.New(conn.store, conn.queue, batchdispatch.Interval, log.Named("feeder"))
	quotaStore := c.newQuotaStore(conn, log)
	webhookDispatcher := webhookdispatch.New(webhookdispatch.Config{
		Interval: webhookdispatch.Interval, Guard: netguard.Guard{Allow: c.WebhookPrivateNetworks}, UserAgent: "Airlock/" + Version,
	}, conn.store, log.Named("courier"))
	x := executor.New(executor.Config{
		Name: c.Name, Slots: c.Slots, Reserved: c.ReservedSlots, Grace: c.ShutdownGracePeriod,
		Lease: execution.DefaultLease, Heartbeat: execution.DefaultHeartbeat,
		Artifacts: conn.blobs, ReceiptKey: receiptKey, Tracer: tracer,
	}, quotaStore, conn.queue, driver, registry, func(e execution.Execution) {
		batchDispatcher.OnExecutionFinished(e)
		webhookDispatcher.OnExecutionFinished(e)
	}, log)
	deadLetterWorker := deadletter.New(conn.store, conn.queue, log.Named("deadletter"))
	expiry := janitor.Retention{Store: conn.store, Artifacts: conn.blobs, Period: c.Retention}
	janitorWorker := janitor.New(quotaStore, conn.queue, expiry, janitor.Interval, log.Named("janitor"))

	defer context.AfterFunc(ctx, func() {
		log.Info("stopping; jobs may go on for the grace", zap.Duration("grace", c.ShutdownGracePeriod))
	})()
	g, ctx := errgroup.WithContext(ctx)
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx)) // outlasts ctx by the grace
	g.Go(func() error {
		defer stopWork()
		supervise.RunUntilSuccess(ctx, log, "make sure of the topics", conn.queue.Ensure)
		g.Go(func() error { return deadLetterWorker.Run(ctx) })
		return x.Run(ctx)
	})
	g.Go(func() error { return janitorWorker.Run(ctx) })
	g.Go(func() error { return batchDispatcher.Run(ctx) })
	g.Go(func() error { return quotaStore.Run(workCtx) })
	g.Go(func() error { return webhookDispatcher.Run(ctx) })
	if c.MetricsListenAddr != "" {
		g.Go(func() error { return serveMetrics(ctx, c.MetricsListenAddr, metrics.Handler()) })
	}
	g.Go(func() error { return supervise.Run(ctx, log, "reap", supervise.Every(reapInterval, driver.Reap)) })
	g.Go(func() error { return driver.RunWarmPool(ctx) })
	return g.Wait()
}

// driver says how sandboxes are made. Kept warm are those of the runtimes that jobs can have.
func (c Executor) dockerOptions(log *zap.Logger, runtimes ...agentruntime.Runtime) docker.Options {
	opts := docker.Options{
		Executor: c.Name, Host: c.DockerHost, Runtime: c.OCIRuntime, SocketDir: c.SocketDir,
		WarmMaxAge: c.WarmPoolMaxAge, Log: log.Named("sandbox"),
	}
	if c.WarmPoolSize == 0 {
		return opts
	}
	opts.WarmMaxExtra = c.Slots
	for _, r := range runtimes {
		if r.Unavailable == "" {
			limits := sandbox.Limits{Memory: int64(r.Limits.Memory), CPUs: r.Limits.CPUs, PIDs: r.Limits.PIDs}
			opts.WarmPools = append(opts.WarmPools, docker.WarmPool{Image: r.Image, Limits: limits, MinIdle: c.WarmPoolSize})
		}
	}
	return opts
}
