package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/airlock-run/airlock/internal/sandbox"
)

var (
	errContainerStartTimeout = fmt.Errorf("%w within the time to start a container", ErrUnreachable)
	errImageRefused          = errors.New("no job runs in this image")
)

// prepare creates and starts a container, which then waits for its job. It is for a job if execution is not empty, and
// otherwise for the warm pool. Unless ctx has ended, an error is a *sandbox.StartError. The wait for a place among the
// starts in progress does not count in the driver's start time-out.
func (d *Driver) prepare(ctx context.Context, spec containerSpec, execution string) (*sandboxContainer, error) {
	priority := startForJob
	if execution == "" {
		priority = startForPool
	}
	if err := d.gate.enter(ctx, priority); err != nil {
		return nil, err
	}
	c, err := d.start(ctx, spec, execution)
	if err != nil {
		return nil, d.recordFailure(ctx, spec, err)
	}
	d.recordStart(spec)
	return c, nil
}

// start uses a place of the gate, and leaves it when the Engine works on no call for this container any more.
func (d *Driver) start(ctx context.Context, spec containerSpec, execution string) (*sandboxContainer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.startTimeout, errContainerStartTimeout)
	defer cancel()
	name := newToken()
	c := &sandboxContainer{name: name, socketDir: d.instance.containerDir(name)}
	if err := d.announce(ctx, c); err != nil {
		d.gate.leave()
		return nil, err
	}
	started := make(chan error, 1)
	c.starting.Go(func() {
		defer d.gate.leave()
		started <- d.createAndStart(ctx, c, spec, execution)
	})
	var err error
	select {
	case err = <-started:
		if err == nil {
			return c, nil
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	d.discard(ctx, c)
	return nil, err
}

// announce prepares what a container needs before its creation.
func (d *Driver) announce(ctx context.Context, c *sandboxContainer) error {
	if err := d.negotiateAPI(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	d.containers[containerName(c.name)] = true // before its files exist: Reap removes those of other names
	d.mu.Unlock()
	var err error
	if c.uid, err = d.instance.makeContainerDir(c.name, d.uids); err != nil {
		d.forget(c)
	}
	return err
}

// forget ends the use of a container's name.
func (d *Driver) forget(c *sandboxContainer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.containers, containerName(c.name))
}

// createAndStart stops after the current step when ctx ends. The end of ctx does not interrupt the creation and the
// start: the Engine may do them all the same, and the removal must come after them. The driver waits for an answer
// for twice the start time-out. A creation that comes later fails, because the socket folder has been removed; Reap
// removes what the Engine creates at that very moment.
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
	callCtx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 2*d.startTimeout, errContainerStartTimeout)
	defer cancel()
	created, err := d.api.ContainerCreate(callCtx,
		containerConfig(spec, c.uid, labels), hostConfig(spec, c.uid, d.runtime, c.socketDir, seccomp), nil, nil, containerName(c.name))
	if err != nil {
		return d.createError(callCtx, spec, err)
	}
	c.id = created.ID
	c.record.Container, c.record.Times.Created = containerName(c.name), time.Now()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.stream, err = d.api.ContainerAttach(ctx, c.id, container.AttachOptions{
		Stream: true, Stdin: true, Stdout: true, Stderr: true,
	})
	if err != nil {
		return engineError(ctx, "attach to container", err)
	}
	if err := d.api.ContainerStart(callCtx, c.id, container.StartOptions{}); err != nil {
		return startCallError(callCtx, err)
	}
	c.record.Times.Started, c.endsByItself = time.Now(), true
	if c.record.Settings, err = d.inspect(ctx, c); err != nil {
		return err
	}
	return refuseVolumes(c.record.Settings.Mounts)
}

// refuseVolumes returns an error for an image that declares a volume. The Engine makes a folder of the host for it, in
// which a job could write without a limit.
func refuseVolumes(mounts []sandbox.Mount) error {
	for _, m := range mounts {
		if !m.ReadOnly {
			return fmt.Errorf("%w: the image declares the volume %s: build it without VOLUME", errImageRefused, m.Target)
		}
	}
	return nil
}

// createError translates an error of the creation of a container.
func (d *Driver) createError(ctx context.Context, spec containerSpec, err error) error {
	if errdefs.IsNotFound(err) {
		return &sandbox.StartError{Cause: sandbox.ImageMissing, Err: fmt.Errorf("%w: %s", ErrNoImage, spec.image)}
	}
	refused := engineError(ctx, "create container", err)
	if !errdefs.IsInvalidArgument(err) {
		return refused
	}
	// The Engine rejects the settings. Those of the runtime are its limits.
	if info, err := d.api.Info(ctx); err == nil && spec.cpus > float64(info.NCPU) {
		return &sandbox.StartError{Cause: sandbox.ImageUnusable, Err: refused}
	}
	return refused
}

// startCallError translates an error of the start of a container. The Engine answers "invalid argument" if init cannot
// be executed: it is not in the image, or not executable.
func startCallError(ctx context.Context, err error) error {
	refused := engineError(ctx, "start container", err)
	if ctx.Err() == nil && errdefs.IsInvalidArgument(err) {
		return &sandbox.StartError{Cause: sandbox.ImageUnusable, Err: refused}
	}
	return refused
}
