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
type cell struct {
	name   string
	id     string // empty until created
	folder string // of its egress socket
	stream types.HijackedResponse
	record sandbox.Record

	writing sync.WaitGroup // of the job frame
	serving chan error     // ends with the egress; nil unless there is one
}

var errSlow = fmt.Errorf("%w within the time to start a container", ErrUnreachable)

func containerName(name string) string { return "airlock-" + name }

// prepare makes a container that is started and waits for its job.
func (d *Driver) prepare(ctx context.Context, s shape, execution string) (*cell, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.startTimeout, errSlow)
	defer cancel()
	if err := d.greet(ctx); err != nil {
		return nil, err
	}
	name := token()
	c := &cell{name: name, folder: filepath.Join(d.instance.path(), name)}
	if err := makeFolder(c.folder); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.cells[containerName(name)] = true
	d.mu.Unlock()
	if err := d.bringUp(ctx, c, s, execution); err != nil {
		d.discard(ctx, c)
		return nil, err
	}
	return c, nil
}

func (d *Driver) bringUp(ctx context.Context, c *cell, s shape, execution string) error {
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
	creating, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), d.startTimeout, errSlow)
	defer cancel()
	created, err := d.api.ContainerCreate(creating,
		config(s, labels), hostConfig(s, d.runtime, c.folder, seccomp), nil, nil, containerName(c.name))
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%w: %s", ErrNoImage, s.image)
	}
	if err != nil {
		return engineError(creating, "create container", err)
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
	removeTimeout = 30 * time.Second // for each try
	removeTries   = 3
)

// discard removes the container and all that belongs to it, off the caller's
// path. The channel tells when it was gone, and is closed when all is done or
// was given up. That ctx ends does not matter: whatever ended the job must not
// end its removal.
func (d *Driver) discard(ctx context.Context, c *cell) <-chan time.Time {
	ctx = context.WithoutCancel(ctx)
	gone := make(chan time.Time, 1)
	d.working.Go(func() {
		defer close(gone)
		if c.stream.Conn != nil {
			c.stream.Close()
		}
		err := d.remove(ctx, c)
		if err != nil {
			d.log.Error("container stays behind", zap.String("container", c.name), zap.Error(err))
		} else {
			gone <- time.Now()
		}
		c.writing.Wait()
		if c.serving != nil {
			if err := <-c.serving; err != nil {
				d.log.Warn("egress did not close cleanly", zap.String("container", c.name), zap.Error(err))
			}
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.cells, containerName(c.name))
	})
	return gone
}

// remove kills the container, removes it, and sees that it is gone. Every try
// has its own time.
func (d *Driver) remove(ctx context.Context, c *cell) error {
	var err error
	for range removeTries {
		if err = d.removeOnce(ctx, c.id); err == nil {
			return os.RemoveAll(c.folder)
		}
	}
	return err
}

func (d *Driver) removeOnce(ctx context.Context, id string) error {
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
	return d.awaitGone(ctx, id)
}

const gonePoll = 20 * time.Millisecond

func (d *Driver) awaitGone(ctx context.Context, id string) error {
	tick := time.NewTicker(gonePoll)
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
