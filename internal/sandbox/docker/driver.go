// Package docker runs jobs in containers of a Docker Engine, one fresh
// container each. It needs Engine 20.10 (API 1.41) or newer on this machine:
// the containers' egress sockets are folders of this host.
package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/docker/docker/client"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// Options say which Engine is used and how. The zero value works where Docker
// is installed as usual and the process may write to /run.
type Options struct {
	// Executor names this executor in the labels of its containers, for people.
	Executor string
	// Host is the Engine's address; empty means DOCKER_HOST, or the default.
	Host string
	// Runtime is the Engine's name of the OCI runtime: "runc" (default), or
	// "runsc", which has to be installed with --host-uds=open.
	Runtime string
	// SocketDir holds the egress sockets and tells living executors from dead
	// ones: all executors that share an Engine should share it. Default
	// /run/airlock. An executor that runs in a container itself must see it
	// under the same path as the Engine does.
	SocketDir string
	// Warm is what Driver.KeepWarm keeps started ahead. None by default.
	WarmPools []WarmPool
	// WarmMost is how many containers may be kept ahead besides, where jobs of
	// the last minute showed a demand, also for images and limits that Warm
	// does not name. None by default.
	WarmMaxExtra int
	// WarmAge is how old a container may get without a job. Default 10 min.
	WarmMaxAge time.Duration
	// StartTimeout bounds creating and starting a container, and then the
	// agent's start. Default 30 s.
	StartTimeout time.Duration
	Log          *zap.Logger
}

const (
	defaultSocketDir    = "/run/airlock"
	defaultRuntime      = "runc"
	defaultStartTimeout = 30 * time.Second
)

// Driver is one executor's use of one Engine. Its methods may be called at the
// same time.
type Driver struct {
	api          client.APIClient
	instance     *instance
	executor     string
	runtime      string
	startTimeout time.Duration
	log          *zap.Logger
	pool         *pool
	engineCache  engineCache

	negotiating chan struct{} // holds whoever agrees on the API's version
	negotiated  bool

	background sync.WaitGroup // removals and warm starts under way

	mu         sync.Mutex
	containers map[string]bool // names of the containers in use
}

// New makes a Driver and its place below Options.SocketDir. It does not speak
// to the Engine, which may come up later; Check does. The Driver must be closed.
func New(opts Options) (*Driver, error) {
	if opts.Executor == "" {
		opts.Executor = "airlock"
	}
	if opts.Runtime == "" {
		opts.Runtime = defaultRuntime
	}
	if opts.SocketDir == "" {
		opts.SocketDir = defaultSocketDir
	}
	if opts.StartTimeout == 0 {
		opts.StartTimeout = defaultStartTimeout
	}
	if opts.WarmMaxAge == 0 {
		opts.WarmMaxAge = defaultWarmMaxAge
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	clientOpts := []client.Opt{
		client.FromEnv, client.WithAPIVersionNegotiation(),
		client.WithTraceProvider(noop.NewTracerProvider()), // else each call of the Engine is a span, named by its container
	}
	if opts.Host != "" {
		clientOpts = append(clientOpts, client.WithHost(opts.Host))
	}
	api, err := client.NewClientWithOpts(clientOpts...)
	if err != nil {
		return nil, fmt.Errorf("address of the container engine: %w", err)
	}
	instance, err := registerInstance(opts.SocketDir)
	if err != nil {
		return nil, errors.Join(err, api.Close())
	}
	d := &Driver{
		api: api, instance: instance, executor: opts.Executor, runtime: opts.Runtime,
		startTimeout: opts.StartTimeout, log: opts.Log, containers: map[string]bool{},
		pool: newPool(opts.WarmPools, opts.WarmMaxExtra, opts.WarmMaxAge), engineCache: engineCache{digests: map[string]string{}},
		negotiating: make(chan struct{}, 1),
	}
	return d, nil
}

// Close removes what the Driver still has on the Engine, waits for removals
// under way until ctx ends, reaps a last time, for there may be no executor
// after this one, and frees its place. What an Engine does not do in that time
// is for the next executor there, and no error. No Run may be under way or come later.
func (d *Driver) Close(ctx context.Context) error {
	d.drainPool(ctx)
	done := make(chan struct{})
	go func() {
		d.background.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		// The containers stay labelled, and the place is given up unremoved:
		// another executor's Reap, or this one's next, finishes the work.
		d.log.Warn("containers are still being removed; the next executor there does the rest")
		return errors.Join(d.instance.unlock(), d.api.Close())
	}
	if d.negotiated { // else it has never met the Engine
		if err := d.Reap(ctx); err != nil {
			d.log.Warn("could not look for what is left on the Engine; the next executor there will", zap.Error(err))
			return errors.Join(d.instance.unlock(), d.api.Close())
		}
	}
	return errors.Join(d.instance.remove(), d.api.Close())
}
