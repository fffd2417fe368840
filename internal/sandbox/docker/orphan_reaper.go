package docker

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"go.uber.org/zap"
)

// Reap removes the containers, sockets and directories of dead executors. It removes a container only if it has our
// labels and this Driver's socket folder, and if no running executor owns it: a running executor holds the lock of
// its instance. Reap also retries the removals that this Driver could not do before.
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

// listSandboxes returns, by instance, the containers that have our labels and this Driver's socket folder.
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

// removeInstance removes the containers and files of a dead instance. It holds the instance's lock meanwhile, so only
// one reaper removes them. It does nothing if the instance's executor runs.
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
	d.log.Info("removed containers of a dead executor",
		zap.String("instance", name), zap.Int("containers", len(containers)))
	return dead.remove()
}

// removeUnused removes containers of this Driver that it does not use, and their files. They exist if a removal failed,
// or if the Engine created a container but its answer was lost.
func (d *Driver) removeUnused(ctx context.Context) error {
	found, err := d.listSandboxes(ctx)
	if err != nil {
		return err
	}
	names, err := d.instance.listContainers()
	if err != nil {
		return err
	}
	for _, c := range found[d.instance.name] {
		for _, listed := range c.Names {
			names = append(names, strings.TrimPrefix(listed, "/"+containerName("")))
		}
	}
	for _, name := range names {
		if !isToken(name) || d.inUse(name) {
			continue
		}
		if err := d.removeContainer(ctx, containerName(name)); err != nil {
			return err
		}
		if err := d.instance.removeContainerDir(name); err != nil {
			return err
		}
	}
	return nil
}

func (d *Driver) inUse(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.containers[containerName(name)]
}
