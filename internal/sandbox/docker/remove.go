package docker

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"go.uber.org/zap"
)

const (
	removeTimeout      = 30 * time.Second // of each attempt
	maxRemoveAttempts  = 3
	removePollInterval = 20 * time.Millisecond
	selfExitTimeout    = time.Second
)

var errRemoveTimeout = errors.New("container not removed in time")

// discard removes the container and everything that belongs to it, in the background. The channel receives the time of
// the container's removal. It is closed when the clean-up has ended or failed. The end of ctx does not stop the
// removal: ctx may have ended because the job was canceled.
func (d *Driver) discard(ctx context.Context, c *sandboxContainer) <-chan time.Time {
	ctx = context.WithoutCancel(ctx)
	removed := make(chan time.Time, 1)
	d.inBackground(func() {
		defer close(removed)
		c.starting.Wait()
		if c.stream.Conn != nil {
			c.stream.Close()
		}
		if c.endsByItself {
			d.awaitExit(ctx, c)
		}
		err := d.removeWithRetry(ctx, c)
		if err != nil {
			d.log.Error("container not removed", zap.String("container", c.name), zap.Error(err))
		} else {
			removed <- time.Now()
		}
		c.jobWrite.Wait()
		if c.egressDone != nil {
			if err := <-c.egressDone; err != nil {
				d.log.Warn("egress did not close cleanly", zap.String("container", c.name), zap.Error(err))
			}
		}
		d.forget(c)
	})
	return removed
}

// awaitExit waits until a container has ended whose init ends by itself, but at most for selfExitTimeout. The removal
// then costs the Engine no kill, for which it starts a process.
func (d *Driver) awaitExit(ctx context.Context, c *sandboxContainer) {
	ctx, cancel := context.WithTimeout(ctx, selfExitTimeout)
	defer cancel()
	exited, errs := d.api.ContainerWait(ctx, containerName(c.name), container.WaitConditionNotRunning)
	select {
	case <-exited:
	case err := <-errs:
		d.log.Debug("container's exit not awaited", zap.String("container", c.name), zap.Error(err))
	}
}

// removeWithRetry removes the container and its socket folder, in several attempts with a back-off. It removes the
// container by its name, which is known even if the Engine's answer to the creation was lost.
func (d *Driver) removeWithRetry(ctx context.Context, c *sandboxContainer) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, d.removeContainer(ctx, containerName(c.name))
	}, backoff.WithMaxTries(maxRemoveAttempts))
	if err != nil {
		return err
	}
	return d.instance.removeContainerDir(c.name)
}

// removeContainer kills and removes a container, by ID or name, and verifies that it no longer exists.
func (d *Driver) removeContainer(ctx context.Context, containerID string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, removeTimeout, errRemoveTimeout)
	defer cancel()
	err := d.api.ContainerRemove(ctx, containerID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil && !errdefs.IsConflict(err): // a conflict means that another removal is in progress
		return engineError(ctx, "remove container", err)
	}
	return poll(ctx, removePollInterval, func() (removed bool, err error) {
		_, err = d.api.ContainerInspect(ctx, containerID)
		if errdefs.IsNotFound(err) {
			return true, nil
		}
		return false, engineError(ctx, "inspect removed container", err)
	})
}
