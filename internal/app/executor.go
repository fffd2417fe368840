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
	closeTimeout = 10 * time.Second
	// reapInterval is how often an executor removes what dead ones left on its Engine.
	reapInterval = time.Minute
)

// RunExecutor runs executions until ctx ends, then what Executor.Grace says.
func RunExecutor(ctx context.Context, c Executor, log *zap.Logger) (err error) {
	log = log.Named("executor").With(zap.String("executor", c.Name))
	tracer, flush, err := trace.Start(ctx, c.Traces, "airlock-executor", Version, log)
	if err != nil {
		return err
	}
	defer flush()
	conn, err := connect(ctx, c.Cloud)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.close()) }()

	runtimes, closeGateway, err := c.runtimes(log)
	if err != nil {
		return err
	}
	defer closeGateway()
	receiptKey, err := c.receiptKey()
	if err != nil {
		return err
	}
	driver, err := docker.New(c.driver(log, runtimes.All()...))
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, driver.Close(clean))
	}()

	feed := batchdispatch.New(conn.store, conn.queue, batchdispatch.Interval, log.Named("feeder"))
	limited := c.limited(conn, log)
	post := webhookdispatch.New(webhookdispatch.Config{
		Interval: webhookdispatch.Interval, Guard: netguard.Guard{Allow: c.WebhookPrivate}, Agent: "Airlock/" + Version,
	}, conn.store, log.Named("courier"))
	x := executor.New(executor.Config{
		Name: c.Name, Slots: c.Slots, Reserved: c.Reserved, Grace: c.Grace,
		Lease: executor.DefaultLease, Heartbeat: executor.DefaultHeartbeat,
		Artifacts: conn.artifacts, ReceiptKey: receiptKey, Tracer: tracer,
	}, limited, conn.queue, driver, runtimes, func(e execution.Execution) {
		feed.Ended(e)
		post.Ended(e)
	}, log)
	dead := deadletter.New(conn.store, conn.queue, log.Named("deadletter"))
	expiry := janitor.Expiry{Archive: conn.store, Files: conn.artifacts, Retention: c.Retention}
	sweeper := janitor.New(limited, conn.queue, expiry, janitor.Interval, log.Named("janitor"))

	defer context.AfterFunc(ctx, func() { log.Info("stopping; jobs may go on for the grace", zap.Duration("grace", c.Grace)) })()
	g, ctx := errgroup.WithContext(ctx)
	executing, over := context.WithCancel(context.WithoutCancel(ctx)) // outlasts ctx by the grace
	g.Go(func() error {
		defer over()
		supervise.Until(ctx, log, "make sure of the topics", conn.queue.Ensure)
		g.Go(func() error { return dead.Run(ctx) })
		return x.Run(ctx)
	})
	g.Go(func() error { return sweeper.Run(ctx) })
	g.Go(func() error { return feed.Run(ctx) })
	g.Go(func() error { return limited.Run(executing) })
	g.Go(func() error { return post.Run(ctx) })
	if c.MetricsListen != "" {
		g.Go(func() error { return serveMetrics(ctx, c.MetricsListen, metrics.Handler()) })
	}
	g.Go(func() error { return supervise.Keep(ctx, log, "reap", supervise.Every(reapInterval, driver.Reap)) })
	g.Go(func() error { return driver.KeepWarm(ctx) })
	return g.Wait()
}

// driver says how sandboxes are made. Kept warm are those of the runtimes that jobs can have.
func (c Executor) driver(log *zap.Logger, runtimes ...agentruntime.Runtime) docker.Options {
	opts := docker.Options{
		Executor: c.Name, Host: c.DockerHost, Runtime: c.SandboxRuntime, SocketDir: c.SocketDir,
		WarmAge: c.SandboxWarmAge, Log: log.Named("sandbox"),
	}
	if c.SandboxWarm == 0 {
		return opts
	}
	opts.WarmMost = c.Slots
	for _, r := range runtimes {
		if r.Unavailable == "" {
			limits := sandbox.Limits{Memory: int64(r.Limits.Memory), CPUs: r.Limits.CPUs, PIDs: r.Limits.PIDs}
			opts.Warm = append(opts.Warm, docker.Warm{Image: r.Image, Limits: limits, Count: c.SandboxWarm})
		}
	}
	return opts
}
