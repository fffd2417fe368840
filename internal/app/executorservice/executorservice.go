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

	"github.com/airlock-run/airlock/internal/app/backend"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/background/deadletter"
	"github.com/airlock-run/airlock/internal/background/dispatcher"
	"github.com/airlock-run/airlock/internal/background/janitor"
	"github.com/airlock-run/airlock/internal/background/webhookdispatch"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/livesteps"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/process"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
	"github.com/airlock-run/airlock/internal/usagewriter"
)

const (
	// driverCloseTimeout limits the removal of the last containers.
	driverCloseTimeout = 10 * time.Second
	// reapInterval is the time between two removals of containers that dead executors left on this Engine.
	reapInterval = time.Minute
	// countInterval is the time between two counts of the agents that wait.
	countInterval = 5 * time.Second
)

// Run runs executions in containers of a Docker Engine until ctx ends. Then jobs have Settings.ShutdownGracePeriod to
// finish.
func Run(ctx context.Context, s Settings, log *zap.Logger) error {
	return RunWithDriver(ctx, s, newDockerDriver, log)
}

// RunWithDriver is Run with the sandboxes of another driver. Everything else is wired in the same way.
func RunWithDriver(ctx context.Context, s Settings, newDriver NewDriver, log *zap.Logger) (err error) {
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
	steps, err := listenForSteps(ctx, s)
	if err != nil {
		return err
	}
	defer steps.Close()
	registry, closeGateways, err := newRegistry(s, log)
	if err != nil {
		return err
	}
	defer closeGateways()
	driver, err := newDriver(s.Executor, log, registry.All()...)
	if err != nil {
		return err
	}
	defer func() {
		cleanupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), driverCloseTimeout)
		defer cancel()
		err = errors.Join(err, driver.Close(cleanupCtx))
	}()

	var (
		member *fleetMember
		x      *executor.Executor
	)
	webhookDispatcher := webhookdispatch.New(webhookdispatch.Config{
		Store: b.Store, Interval: webhookdispatch.Interval, Guard: netguard.Guard{Allow: s.WebhookPrivateNetworks},
		Leads:     func() bool { return member.leader.Leads() },
		UserAgent: "Airlock/" + config.Version, Log: log.Named("webhookdispatch"),
	})
	janitorWorker := janitor.New(janitor.Config{
		Store: b.Store, Executions: b.Store, Publisher: b.Queue, Interval: janitor.Interval, OnFinished: webhookDispatcher.OnExecutionFinished,
		Retention: janitor.Retention{Store: b.Store, Artifacts: b.Blobs, Period: s.Retention}, Log: log.Named("janitor"),
		StartableRuntimes: func(ctx context.Context) []string { return member.view.StartableRuntimes(ctx) },
	})
	member = newFleetMember(fleetConfig{
		settings: s, store: b.Store, runtimes: registry.All(), endpoint: steps.Endpoint(), log: log,
		onExpired: janitorWorker.Reap, onLost: func(ctx context.Context) { x.AwaitJobsGone(ctx) },
	})
	stopUsage := usagewriter.Start(ctx, usagewriter.Config{
		Store: b.Store, Fleet: member.view, Defaults: s.TenantLimits.Defaults(), Log: log.Named("usage"),
	})
	defer stopUsage()
	member.leader.RunWhileLeading("janitor", janitorWorker.Run)
	executionDispatcher := dispatcher.New(dispatcher.Config{
		Process: member.process, Store: b.Store, Executions: b.Store, Publisher: b.Queue, Fleet: member.view,
		Limits: dispatcher.Limits{Running: s.MaxRunning, DailyUSD: s.MaxDailyCostUSD}, Log: log.Named("dispatcher"),
	})
	member.setDispatcher(executionDispatcher)
	x = executor.New(executor.Config{
		Name: s.Name, Slots: s.Slots, Reserved: s.ReservedSlots, Grace: s.ShutdownGracePeriod,
		Sessions: member.member, Executions: b.Store, Tasks: b.Store, Queue: b.Queue, Sandbox: driver, Runtimes: registry,
		Artifacts: b.Blobs, TranscriptRetention: s.TranscriptRetention, MaxWorkspace: s.MaxWorkspaceMiB << 20, MaxNextTurns: s.AheadConversations, NextTurnHold: s.AheadTime, ReceiptKey: s.receiptKey, Tracer: tracer, TraceContent: s.Traces.Content, Log: log, OnFinished: webhookDispatcher.OnExecutionFinished,
	})
	member.setExecutor(x)
	deadLetterReader := deadletter.New(b.Store, b.Queue, log.Named("deadletter"))

	defer context.AfterFunc(ctx, func() {
		log.Info("stopping: running jobs have the grace period to finish", zap.Duration("gracePeriod", s.ShutdownGracePeriod))
	})()
	g, ctx := errgroup.WithContext(ctx)
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx)) // outlasts ctx by the grace period
	g.Go(func() error {
		defer stopWork()
		supervise.RunUntilSuccess(ctx, log, "ensure the Pub/Sub topics", func(ctx context.Context) error {
			return b.Queue.Ensure(ctx, registry.Available()...)
		})
		g.Go(func() error { return deadLetterReader.Run(ctx) })
		return x.Run(ctx)
	})
	g.Go(func() error { return member.run(ctx, workCtx, driver) })
	g.Go(func() error { return executionDispatcher.Run(ctx) })
	g.Go(func() error { return webhookDispatcher.Run(ctx) })
	if s.MetricsListenAddr != "" {
		g.Go(func() error {
			return process.ServeHTTP(ctx, s.MetricsListenAddr, "metrics", metrics.Route(metrics.Handler()))
		})
	}
	if s.HealthListenAddr != "" {
		g.Go(func() error {
			return process.ServeHTTP(ctx, s.HealthListenAddr, "health", healthHandler(withQueue(x.Health, b.Queue.PullError), driver.WaitingAgents))
		})
	}
	g.Go(func() error { return steps.Serve(workCtx, x) })
	g.Go(func() error { return supervise.Run(ctx, log, "reap", supervise.Every(reapInterval, driver.Reap)) })
	g.Go(func() error { return driver.RunWarmPool(ctx) })
	g.Go(func() error {
		return supervise.Run(ctx, log, "count waiting agents", supervise.Every(countInterval, func(context.Context) error {
			waiting := driver.WaitingAgents()
			metrics.AgentsWaiting.WithLabelValues("any").Set(float64(waiting.AnyJob))
			metrics.AgentsWaiting.WithLabelValues("next_turn").Set(float64(waiting.NextJob))
			return nil
		}))
	})
	return g.Wait()
}

// listenForSteps opens the listener for live steps. Without one, it returns nil, which is a server that serves nothing.
func listenForSteps(ctx context.Context, s Settings) (*livesteps.Server, error) {
	if s.StepsListenAddr == config.StepsOff {
		return nil, nil
	}
	return livesteps.Listen(ctx, s.StepsListenAddr, s.StepsAdvertiseAddr)
}
