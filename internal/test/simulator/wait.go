package simulator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errLimit is the result of a wait that took too long.
var errLimit = errors.New("it did not happen in time")

// await waits until done reports true, which it is asked again after each change.
func await(ctx context.Context, limit time.Duration, what string, done func() (bool, <-chan struct{})) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		ok, changed := done()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return fmt.Errorf("%s within %s: %w", what, limit, errLimit)
		}
	}
}

// awaitFinished waits until n executions have ended since the fleet began.
func (f *Fleet) awaitFinished(ctx context.Context, n int) error {
	return await(ctx, limit, fmt.Sprintf("the end of %d executions", n), func() (bool, <-chan struct{}) {
		all, _, changed := f.Observer.Finished()
		return all >= n, changed
	})
}

// awaitEnd waits until one execution has ended.
func (f *Fleet) awaitEnd(ctx context.Context, id string, limit time.Duration) (at time.Time, err error) {
	err = await(ctx, limit, "the end of execution "+id, func() (bool, <-chan struct{}) {
		var changed <-chan struct{}
		at, changed = f.Observer.finishedAt(id)
		return !at.IsZero(), changed
	})
	return at, err
}

// awaitStart waits until the job with a mark has started.
func (f *Fleet) awaitStart(ctx context.Context, mark string, limit time.Duration) (at time.Time, err error) {
	err = await(ctx, limit, "the start of the job "+mark, func() (bool, <-chan struct{}) {
		var changed <-chan struct{}
		at, changed = f.sandboxes.startedAt(mark)
		return !at.IsZero(), changed
	})
	return at, err
}

// awaitRunning waits until n jobs run.
func (f *Fleet) awaitRunning(ctx context.Context, n int, limit time.Duration) error {
	return await(ctx, limit, fmt.Sprintf("%d running jobs", n), func() (bool, <-chan struct{}) {
		_, running, changed := f.sandboxes.count()
		return running >= n, changed
	})
}
