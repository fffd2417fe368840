package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// cell is one sandbox, from before its creation until it is gone:
// prepared, then given one job, then discarded.
type sandboxContainer struct {
	name      string
	id        string // empty until created
	socketDir string // of its egress socket
	stream    types.HijackedResponse
	record    sandbox.Record

	jobWrite   sync.WaitGroup // of the job frame
	egressDone chan error     // ends with the egress; nil unless there is one
}

var errContainerStartTimeout = fmt.Errorf("%w within the time to start a container", ErrUnreachable)

func containerName(name string) string { return "airlock-" + name }

// prepare makes a container that is started and waits for its job.
func (d *Driver) prepare(ctx context.Context, s containerSpec, execution string) (*sandboxContainer, error) {
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
	if err := d.createAndStart(ctx, c, s, execution); err != nil {
		d.discard(ctx, c)
		return nil, err
	}
	return c, nil
}

func (d *Driver) createAndStart(ctx context.Context, c *sandboxContainer, s containerSpec, execution string) error {
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
	// Not cut short when ctx ends: a removal could then overtake the creation.
	createCtx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), d.startTimeout, errContainerStartTimeout)
	defer cancel()
	created, err := d.api.ContainerCreate(createCtx,
		containerConfig(s, labels), hostConfig(s, d.runtime, c.socketDir, seccomp), nil, nil, containerName(c.name))
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%w: %s", ErrNoImage, s.image)
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

const (
	removeTimeout  = 30 * time.Second // for each try
	maxRemoveTries = 3
)

// discard removes the container and all that belongs to it, off the caller's
// path. The channel tells when it was gone, and is closed when all is done or
// was given up. That ctx ends does not matter: whatever ended the job must not
// end its removal.
func (d *Driver) discard(ctx context.Context, c *sandboxContainer) <-chan time.Time {
	ctx = context.WithoutCancel(ctx)
	removed := make(chan time.Time, 1)
	d.background.Go(func() {
		defer close(removed)
		if c.stream.Conn != nil {
			c.stream.Close()
		}
		err := d.removeWithRetry(ctx, c)
		if err != nil {
			d.log.Error("container stays behind", zap.String("container", c.name), zap.Error(err))
		} else {
			removed <- time.Now()
		}
		c.jobWrite.Wait()
		if c.egressDone != nil {
			if err := <-c.egressDone; err != nil {
				d.log.Warn("egress did not close cleanly", zap.String("container", c.name), zap.Error(err))
			}
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.containers, containerName(c.name))
	})
	return removed
}

// remove kills the container, removes it, and sees that it is gone. Every try
// has its own time.
func (d *Driver) removeWithRetry(ctx context.Context, c *sandboxContainer) error {
	var err error
	for range maxRemoveTries {
		if err = d.removeContainer(ctx, c.id); err == nil {
			return os.RemoveAll(c.socketDir)
		}
	}
	return err
}

func (d *Driver) removeContainer(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	err := d.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil && !errdefs.IsConflict(err): // a conflict: somebody else removes it
		return engineError(ctx, "remove container", err)
	}
	return d.waitRemoved(ctx, id)
}

const removePollInterval = 20 * time.Millisecond

func (d *Driver) waitRemoved(ctx context.Context, id string) error {
	tick := time.NewTicker(removePollInterval)
	defer tick.Stop()
	for {
		_, err := d.api.ContainerInspect(ctx, id)
		if errdefs.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return engineError(ctx, "look for removed container", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: container is still there after its removal", ErrRefused)
		}
	}
}
