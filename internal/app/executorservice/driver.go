package executorservice

import (
	"context"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
)

// Driver makes the sandboxes of an executor. Reap removes those that dead executors have left, and is called again and
// again. RunWarmPool returns when its context ends. Close is called last, and removes all that is left of this
// executor.
type Driver interface {
	executor.Sandbox
	Reap(ctx context.Context) error
	RunWarmPool(ctx context.Context) error
	WaitingAgents() sandbox.WaitingAgents
	Architecture(ctx context.Context) (string, error)
	Close(ctx context.Context) error
}

// NewDriver makes the driver of an executor, which will run jobs of these runtimes.
type NewDriver func(c config.Executor, log *zap.Logger, runtimes ...agentruntime.Runtime) (Driver, error)

func newDockerDriver(c config.Executor, log *zap.Logger, runtimes ...agentruntime.Runtime) (Driver, error) {
	return docker.New(DockerConfig(c, log, runtimes...))
}

// DockerConfig returns how sandboxes are made. The warm pool holds containers of the given runtimes that are
// available, with agents in them if they can be started ahead.
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
			job := r.Ahead()
			if job == nil {
				job = &sandbox.Job{Image: r.Image, Limits: limits}
			}
			driver.WarmPools = append(driver.WarmPools, docker.WarmPool{Job: *job, MinIdle: c.WarmPoolSize})
		}
	}
	return driver
}
