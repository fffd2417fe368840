package docker

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"go.uber.org/zap"
)

// Reap removes what executors left that no longer live: containers, sockets
// and folders. It touches only containers that carry our labels and the same
// socket folder as this Driver's, and no living executor's: whoever lives
// holds a lock. What this Driver itself failed to remove is tried again.
func (d *Driver) Reap(ctx context.Context) error {
	orphans, err := d.labelled(ctx)
	if err != nil {
		return err
	}
	names, err := enrolled(d.instance.dir)
	if err != nil {
		return err
	}
	for name := range orphans {
		names = append(names, name)
	}
	slices.Sort(names)
	errs := []error{d.retryLeftovers(ctx)}
	for _, name := range slices.Compact(names) {
		if name != d.instance.name {
			errs = append(errs, d.bury(ctx, name, orphans[name]))
		}
	}
	return errors.Join(errs...)
}

// labelled lists the containers that are ours to judge, by instance.
func (d *Driver) labelled(ctx context.Context) (map[string][]string, error) {
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
	byInstance := map[string][]string{}
	for _, c := range list {
		if name := c.Labels[labelInstance]; isToken(name) {
			byInstance[name] = append(byInstance[name], c.ID)
		}
	}
	return byInstance, nil
}

// bury removes what a dead instance left. While it does, it holds the dead
// one's lock, so that two reapers do not meet.
func (d *Driver) bury(ctx context.Context, name string, containers []string) error {
	dead, err := claim(d.instance.dir, name)
	if errors.Is(err, errAlive) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, id := range containers {
		if err := d.removeOnce(ctx, id); err != nil {
			return errors.Join(err, dead.abandon())
		}
	}
	d.log.Info("removed what a dead executor left",
		zap.String("instance", name), zap.Int("containers", len(containers)))
	return dead.leave()
}

func (d *Driver) retryLeftovers(ctx context.Context) error {
	d.mu.Lock()
	again := d.leftovers
	d.leftovers = map[string]*cell{}
	d.mu.Unlock()
	var errs []error
	for id, c := range again {
		err := d.removeOnce(ctx, id)
		if err == nil {
			err = os.RemoveAll(c.folder)
		}
		if err != nil {
			errs = append(errs, err)
			d.mu.Lock()
			d.leftovers[id] = c
			d.mu.Unlock()
		}
	}
	return errors.Join(errs...)
}
