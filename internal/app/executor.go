package app

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/janitor"
	"github.com/airlock-run/airlock/internal/runtime"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
	"github.com/airlock-run/airlock/internal/supervise"
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
	driver, err := docker.New(c.driver(log))
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, driver.Close(clean))
	}()

	x := executor.New(executor.Config{
		Name: c.Name, Slots: c.Slots, Grace: c.Grace, Lease: executor.DefaultLease, Heartbeat: executor.DefaultHeartbeat,
	}, conn.store, conn.queue, driver, runtimes, log)
	sweeper := janitor.New(conn.store, conn.queue, janitor.Interval, log.Named("janitor"))

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		supervise.Until(ctx, log, "make sure of the topics", conn.queue.Ensure)
		return x.Run(ctx)
	})
	g.Go(func() error { return sweeper.Run(ctx) })
	g.Go(func() error { return reap(ctx, driver, log) })
	return g.Wait()
}

// reap removes what dead executors left, at start and then periodically.
func reap(ctx context.Context, driver *docker.Driver, log *zap.Logger) error {
	return supervise.Keep(ctx, log, "reap", func(ctx context.Context) error {
		tick := time.NewTicker(reapInterval)
		defer tick.Stop()
		for {
			if err := driver.Reap(ctx); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

func (c Executor) driver(log *zap.Logger) docker.Options {
	return docker.Options{
		Executor: c.Name, Host: c.DockerHost, Runtime: c.SandboxRuntime, SocketDir: c.SocketDir, Log: log.Named("sandbox"),
	}
}

// runtimes makes the registry, and the gateway of the runtimes that need one.
func (c Executor) runtimes(log *zap.Logger) (*runtime.Registry, func(), error) {
	offline := runtime.Offline(c.OfflineImage)
	if c.AnthropicKey == "" {
		return runtime.New(offline, runtime.Claude(c.ClaudeImage, nil)), func() {}, nil
	}
	g, err := gateway.New(gateway.Settings{
		Upstream: c.AnthropicURL, APIKey: c.AnthropicKey, Models: c.ClaudeModels, Logger: log.Named("gateway"),
	})
	if err != nil {
		return nil, nil, err
	}
	return runtime.New(offline, runtime.Claude(c.ClaudeImage, g)), g.Close, nil
}
