// Package executorservice runs an executor as a service. The settings of the environment come in; the package connects
// the services and the Docker Engine, wires the executor and the background workers to them, and runs all of them until
// its context ends. What a worker does is decided in the worker's own package. It never imports an emulator or the API.
package executorservice

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/app/backend"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/background/batchdispatch"
	"github.com/airlock-run/airlock/internal/background/deadletter"
	"github.com/airlock-run/airlock/internal/background/janitor"
	"github.com/airlock-run/airlock/internal/background/webhookdispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/process"
	"github.com/airlock-run/airlock/internal/quota"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

const (
	// driverCloseTimeout limits the removal of the last containers.
	driverCloseTimeout = 10 * time.Second
	// reapInterval is the time between two removals of containers that dead executors left on this Engine.
	reapInterval = time.Minute
)

// Run runs executions until ctx ends. Then jobs have Settings.ShutdownGracePeriod to finish.
func Run(ctx context.Context, s Settings, log *zap.Logger) (err error) {
	log = log.Named("executor").With(zap.String("executor", s.Name))
	if len(s.UnknownVariables) > 0 {
		log.Warn("no program reads these variables", zap.Strings("variables", s.UnknownVariables))
	}
	tracer, flushTraces, err := trace.Start(ctx, trace.Config{
		Enabled: s.Traces.Enabled(), Service: "airlock-executor", Version: config.Version,
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
	registry, closeGateways, err := newRegistry(s, log)
	if err != nil {
		return err
	}
	defer closeGateways()
	driver, err := docker.New(DockerConfig(s.Executor, log, registry.All()...))
	if err != nil {
		return err
	}
	defer func() {
		cleanupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), driverCloseTimeout)
		defer cancel()
		err = errors.Join(err, driver.Close(cleanupCtx))
	}()

	limits := quota.Limits{Queued: s.MaxQueued, Running: s.MaxRunning, DailyUSD: s.MaxDailyCostUSD}
	enforcer := quota.New(quota.Config{Store: b.Store, Limits: limits, Publisher: b.Queue, Log: log.Named("quota")})
	batchDispatcher := batchdispatch.New(batchdispatch.Config{
		Store: b.Store, Executions: enforcer, Publisher: b.Queue, Interval: batchdispatch.Interval, Log: log.Named("batchdispatch"),
	})
	webhookDispatcher := webhookdispatch.New(webhookdispatch.Config{
		Store: b.Store, Interval: webhookdispatch.Interval, Guard: netguard.Guard{Allow: s.WebhookPrivateNetworks},
		UserAgent: "Airlock/" + config.Version, Log: log.Named("webhookdispatch"),
	})
	x := executor.New(executor.Config{
		Name: s.Name, Slots: s.Slots, Reserved: s.ReservedSlots, Grace: s.ShutdownGracePeriod,
		Lease: execution.DefaultLease, Heartbeat: execution.DefaultHeartbeat,
		Executions: enforcer, Tasks: b.Store, Queue: b.Queue, Sandbox: driver, Runtimes: registry,
		Artifacts: b.Blobs, ReceiptKey: s.receiptKey, Tracer: tracer, Log: log,
		OnFinished: func(e execution.Execution) {
			batchDispatcher.OnExecutionFinished(e)
			webhookDispatcher.OnExecutionFinished(e)
		},
	})
	deadLetterReader := deadletter.New(enforcer, b.Queue, log.Named("deadletter"))
	janitorWorker := janitor.New(janitor.Config{
		Store: b.Store, Executions: enforcer, Publisher: b.Queue, Interval: janitor.Interval, Log: log.Named("janitor"),
		Retention: janitor.Retention{Store: b.Store, Artifacts: b.Blobs, Period: s.Retention},
	})

	defer context.AfterFunc(ctx, func() {
		log.Info("stopping: running jobs have the grace period to finish", zap.Duration("gracePeriod", s.ShutdownGracePeriod))
	})()
	g, ctx := errgroup.WithContext(ctx)
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx)) // outlasts ctx by the grace period
	g.Go(func() error {
		defer stopWork()
		supervise.RunUntilSuccess(ctx, log, "ensure the Pub/Sub topics", b.Queue.Ensure)
		g.Go(func() error { return deadLetterReader.Run(ctx) })
		return x.Run(ctx)
	})
	g.Go(func() error { return janitorWorker.Run(ctx) })
	g.Go(func() error { return batchDispatcher.Run(ctx) })
	g.Go(func() error { return enforcer.Run(workCtx) })
	g.Go(func() error { return webhookDispatcher.Run(ctx) })
	if s.MetricsListenAddr != "" {
		g.Go(func() error {
			return process.ServeHTTP(ctx, s.MetricsListenAddr, "metrics", metrics.Route(metrics.Handler()))
		})
	}
	if s.HealthListenAddr != "" {
		g.Go(func() error { return process.ServeHTTP(ctx, s.HealthListenAddr, "health", healthHandler(x.Health)) })
	}
	g.Go(func() error { return supervise.Run(ctx, log, "reap", supervise.Every(reapInterval, driver.Reap)) })
	g.Go(func() error { return driver.RunWarmPool(ctx) })
	return g.Wait()
}

// DockerConfig returns how sandboxes are made. The warm pool holds containers of the given runtimes that are
// available.
func DockerConfig(c config.Executor, log *zap.Logger, runtimes ...agentruntime.Runtime) docker.Config {
	driver := docker.Config{
		Executor: c.Name, Host: c.DockerHost, Runtime: c.OCIRuntime, SocketDir: c.SocketDir, UIDs: c.SandboxUIDs,
		WarmMaxAge: c.WarmPoolMaxAge, Log: log.Named("sandbox"),
	}
	if c.WarmPoolSize == 0 {
		return driver
	}
	driver.WarmMaxExtra = c.Slots
	for _, r := range runtimes {
		if r.Unavailable == "" {
			limits := sandbox.Limits{Memory: int64(r.Limits.Memory), CPUs: r.Limits.CPUs, PIDs: r.Limits.PIDs}
			driver.WarmPools = append(driver.WarmPools, docker.WarmPool{Image: r.Image, Limits: limits, MinIdle: c.WarmPoolSize})
		}
	}
	return driver
}
