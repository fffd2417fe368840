package docker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"go.uber.org/zap"
)

// Reap removes what executors left that no longer live: containers, sockets
// and folders. It touches only containers that carry our labels and the same
// socket folder as this Driver's, and no living executor's: whoever lives
// holds a lock. What this Driver itself failed to remove is tried again.
func (d *Driver) Reap(ctx context.Context) error {
	found, err := d.listSandboxes(ctx)
	if err != nil {
		return err
	}
	names, err := listInstances(d.instance.dir)
	if err != nil {
		return err
	}
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	errs := []error{d.removeUnused(ctx)}
	for _, name := range slices.Compact(names) {
		if name != d.instance.name {
			errs = append(errs, d.removeInstance(ctx, name, found[name]))
		}
	}
	return errors.Join(errs...)
}

// labelled lists the containers that are ours to judge, by instance.
func (d *Driver) listSandboxes(ctx context.Context) (map[string][]container.Summary, error) {
	if err := d.negotiateAPI(ctx); err != nil {
		return nil, err
	}
	list, err := d.api.ContainerList(ctx, container.ListOptions{
		All: true,
		Filters: filters.NewArgs(
			filters.Arg("label", labelRole+"="+roleSandbox),
			filters.Arg("label", labelSocketDir+"="+d.instance.dir),
			filters.Arg("label", labelInstance),
		),
	})
	if err != nil {
		return nil, engineError(ctx, "list containers", err)
	}
	byInstance := map[string][]container.Summary{}
	for _, c := range list {
		if name := c.Labels[labelInstance]; isToken(name) {
			byInstance[name] = append(byInstance[name], c)
		}
	}
	return byInstance, nil
}

// bury removes what a dead instance left. While it does, it holds the dead
// one's lock, so that two reapers do not meet.
func (d *Driver) removeInstance(ctx context.Context, name string, containers []container.Summary) error {
	dead, err := lockInstance(d.instance.dir, name)
	if errors.Is(err, errInstanceLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range containers {
		if err := d.removeContainer(ctx, c.ID); err != nil {
			return errors.Join(err, dead.unlock())
		}
	}
	d.log.Info("removed what a dead executor left",
		zap.String("instance", name), zap.Int("containers", len(containers)))
	return dead.remove()
}

// tidy removes what this Driver has and does not use: a removal failed, or the
// Engine created a container and could not say so.
func (d *Driver) removeUnused(ctx context.Context) error {
	found, err := d.listSandboxes(ctx)
	if err != nil {
		return err
	}
	for _, c := range found[d.instance.name] {
		if len(c.Names) == 0 || d.inUse(c.Names[0]) {
			continue
		}
		if err := d.removeContainer(ctx, c.ID); err != nil {
			return err
		}
		name := strings.TrimPrefix(c.Names[0], "/"+containerName(""))
		if isToken(name) {
			if err := os.RemoveAll(filepath.Join(d.instance.path(), name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// uses takes a name as the Engine lists it, with a slash before it.
func (d *Driver) inUse(listed string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.containers[strings.TrimPrefix(listed, "/")]
}
