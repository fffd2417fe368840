// Package docker runs sandbox jobs in containers of a Docker Engine, one new container for each job. A sandbox.Job goes
// in, a sandbox.Outcome or an error comes out. It needs Engine 20.10 (API 1.41) or newer on the same host, because the
// containers' egress sockets are in a directory of this host.
//
// The package never reuses a container, never gives a container a network, and never trusts data from a container
// before it is authenticated and within its limits. container_permissions.go and seccomp_linux.go define what a
// container may do.
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

	"github.com/airlock-run/airlock/internal/sandbox"

	"github.com/airlock-run/airlock/internal/supervise"
)

// Config configures a Driver. The zero value works where Docker has its usual installation and the process may write to
// /run.
type Config struct {
	// Executor is the name of this executor, for people. It is a label of each container.
	Executor string
	// Host is the Engine's address. Default: DOCKER_HOST, or else Docker's default address.
	Host string
	// Runtime is the Engine's name of the OCI runtime: "runc" (default), or "runsc", which must be installed with
	// --host-uds=open.
	Runtime string
	// SocketDir contains the egress sockets, and lock files that tell running executors from dead ones. All executors
	// that share an Engine should share it. An executor that runs in a container must see the directory under the same
	// path as the Engine. Default: /run/airlock.
	SocketDir string
	// UIDs are the user IDs of the host that containers may have, one for each. Default: sandbox.DefaultUIDs.
	UIDs sandbox.UIDRange
	// WarmPools are the containers that Driver.RunWarmPool starts before jobs arrive. Default: none.
	WarmPools []WarmPool
	// WarmMaxExtra is the number of warm containers in addition to those of WarmPools. The driver starts them for the
	// images and limits that the jobs of the last minute had. Default: 0.
	WarmMaxExtra int
	// WarmMaxAge is the age at which a warm container is removed. Default: 10 minutes.
	WarmMaxAge time.Duration
	// StartTimeout limits the creation and start of a container, and after that the start of the agent. Default: 30 s.
	StartTimeout time.Duration
	Log          *zap.Logger
}

const (
	defaultSocketDir    = "/run/airlock"
	defaultRuntime      = "runc"
	defaultStartTimeout = 30 * time.Second
)

// Driver runs the jobs of one executor on one Engine. Its methods are safe for concurrent use.
type Driver struct {
	api          client.APIClient
	instance     *instance
	executor     string
	runtime      string
	uids         sandbox.UIDRange
	startTimeout time.Duration
	log          *zap.Logger
	pool         *pool
	warm         []WarmPool
	gate         startGate
	history      startHistory
	engineCache  engineCache
	hostOOMKills func() int64 // readHostOOMKills, except in tests

	negotiating chan struct{} // lock of negotiated, which a context can interrupt
	negotiated  bool

	background sync.WaitGroup // removals and warm starts in progress

	mu         sync.Mutex
	containers map[string]bool // names of the containers in use
}

// New returns a Driver and registers it below Config.SocketDir. It does not call the Engine, which may start later;
// Check does. The caller must close the Driver.
func New(c Config) (*Driver, error) {
	if c.Executor == "" {
		c.Executor = "airlock"
	}
	if c.Runtime == "" {
		c.Runtime = defaultRuntime
	}
	if c.SocketDir == "" {
		c.SocketDir = defaultSocketDir
	}
	if c.UIDs == (sandbox.UIDRange{}) {
		c.UIDs = sandbox.DefaultUIDs
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = defaultStartTimeout
	}
	if c.WarmMaxAge == 0 {
		c.WarmMaxAge = defaultWarmMaxAge
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	clientOpts := []client.Opt{
		client.FromEnv, client.WithAPIVersionNegotiation(),
		// With the default provider, each call of the Engine would be a span with the container's name.
		client.WithTraceProvider(noop.NewTracerProvider()),
	}
	if c.Host != "" {
		clientOpts = append(clientOpts, client.WithHost(c.Host))
	}
	api, err := client.NewClientWithOpts(clientOpts...)
	if err != nil {
		return nil, fmt.Errorf("address of the container engine: %w", err)
	}
	instance, err := registerInstance(c.SocketDir)
	if err != nil {
		return nil, errors.Join(err, api.Close())
	}
	d := &Driver{
		api: api, instance: instance, executor: c.Executor, runtime: c.Runtime, uids: c.UIDs,
		startTimeout: c.StartTimeout, log: c.Log, containers: map[string]bool{},
		pool: newPool(c.WarmPools, c.WarmMaxExtra, c.WarmMaxAge), warm: c.WarmPools,
		gate: startGate{free: parallelStarts()}, history: startHistory{unusable: map[containerSpec]bool{}}, engineCache: engineCache{digests: map[string]string{}},
		negotiating: make(chan struct{}, 1), hostOOMKills: readHostOOMKills,
	}
	return d, nil
}

// inBackground runs a task that Close waits for. A panic over one container stays with that task.
func (d *Driver) inBackground(task func()) {
	d.background.Go(func() {
		defer supervise.RecoverLog(d.log, "a task for a container panicked")
		task()
	})
}

// Close removes the Driver's containers and waits for removals in progress until ctx ends. Then it calls Reap, because
// no other executor may follow on this host, and removes its registration. It is not an error if the Engine does not
// finish in time: the next executor on this host removes the rest. No Run may be in progress or follow.
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
		// The containers have labels, and the registration stays without its lock. So the next Reap of another
		// executor, or of this one after a restart, removes them.
		d.log.Warn("stopped before all containers were removed; another executor's reaper will remove them")
		return errors.Join(d.instance.unlock(), d.api.Close())
	}
	if d.negotiated { // otherwise the Engine never answered
		if err := d.Reap(ctx); err != nil {
			d.log.Warn("cannot list leftover containers; another executor's reaper will remove them", zap.Error(err))
			return errors.Join(d.instance.unlock(), d.api.Close())
		}
	}
	return errors.Join(d.instance.remove(), d.api.Close())
}
