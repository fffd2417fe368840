package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Labels of every container. The reaper selects containers by role, instance and socket folder. The other labels are
// for people.
const (
	labelRole      = "airlock.role"
	labelExecutor  = "airlock.executor"
	labelExecution = "airlock.execution" // not on warm containers
	labelInstance  = "airlock.instance"
	labelSocketDir = "airlock.socketdir"

	roleSandbox = "sandbox"
)

// containerSpec is what must be known to create a container, which may happen before its job exists.
type containerSpec struct {
	image  string
	memory int64
	cpus   float64
	pids   int64
}

func newSpec(image string, l sandbox.Limits) containerSpec {
	return containerSpec{image: image, memory: l.Memory, cpus: l.CPUs, pids: l.PIDs}
}

// sandboxContainer is one container from before its creation until after its removal. prepare creates and starts it, a
// jobRun uses it for one job, and discard removes it.
type sandboxContainer struct {
	name      string
	id        string // empty before the creation
	socketDir string // the host's directory of its egress socket
	stream    types.HijackedResponse
	record    sandbox.Record

	jobWrite   sync.WaitGroup // the goroutine that writes the job frame
	egressDone chan error     // receives the result of Egress.Serve; nil without egress
}

var errContainerStartTimeout = fmt.Errorf("%w within the time to start a container", ErrUnreachable)

func containerName(name string) string { return "airlock-" + name }

// prepare creates and starts a container, which then waits for its job.
func (d *Driver) prepare(ctx context.Context, spec containerSpec, execution string) (*sandboxContainer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.startTimeout, errContainerStartTimeout)
	defer cancel()
	if err := d.negotiateAPI(ctx); err != nil {
		return nil, err
	}
	name := newToken()
	c := &sandboxContainer{name: name, socketDir: filepath.Join(d.instance.path(), name)}
	if err := makeSocketDir(c.socketDir); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.containers[containerName(name)] = true
	d.mu.Unlock()
	if err := d.createAndStart(ctx, c, spec, execution); err != nil {
		d.discard(ctx, c)
		return nil, err
	}
	return c, nil
}

func (d *Driver) createAndStart(ctx context.Context, c *sandboxContainer, spec containerSpec, execution string) error {
	labels := map[string]string{
		labelRole:      roleSandbox,
		labelExecutor:  d.executor,
		labelInstance:  d.instance.name,
		labelSocketDir: d.instance.dir,
	}
	if execution != "" {
		labels[labelExecution] = execution
	}
	seccomp, err := seccompProfile()
	if err != nil {
		return err
	}
	// The end of ctx does not interrupt the creation. Otherwise the removal could reach the Engine before the creation.
	createCtx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), d.startTimeout, errContainerStartTimeout)
	defer cancel()
	created, err := d.api.ContainerCreate(createCtx,
		containerConfig(spec, labels), hostConfig(spec, d.runtime, c.socketDir, seccomp), nil, nil, containerName(c.name))
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%w: %s", ErrNoImage, spec.image)
	}
	if err != nil {
		return engineError(createCtx, "create container", err)
	}
	c.id = created.ID
	c.record.Container, c.record.Times.Created = containerName(c.name), time.Now()
	c.stream, err = d.api.ContainerAttach(ctx, c.id, container.AttachOptions{
		Stream: true, Stdin: true, Stdout: true, Stderr: true,
	})
	if err != nil {
		return engineError(ctx, "attach to container", err)
	}
	if err := d.api.ContainerStart(ctx, c.id, container.StartOptions{}); err != nil {
		return engineError(ctx, "start container", err)
	}
	c.record.Times.Started = time.Now()
	c.record.Settings, err = d.inspect(ctx, c)
	return err
}

// isWaiting reports whether a container without a job still waits for one. If its init has ended or failed, the stream
// has an end or data to read.
func (c *sandboxContainer) isWaiting() bool {
	if err := c.stream.Conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return false
	}
	_, err := c.stream.Reader.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded) && c.stream.Conn.SetReadDeadline(time.Time{}) == nil
}

// poll calls check at once and then in each interval. It returns when check returns true or an error, or with the cause
// of ctx when ctx ends.
func poll(ctx context.Context, interval time.Duration, check func() (done bool, err error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if done, err := check(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
