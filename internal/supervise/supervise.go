// Package supervise keeps a task going that depends on something that may be away.
package supervise

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// healthy is how long a task must have run for its next failure to count as a first one.
const healthy = 30 * time.Second

// again is how often a failure that goes on is logged.
const again = time.Minute

// Keep runs the task until ctx ends, and starts it again after a back-off
// (0.2 s to 5 s, with jitter) whenever it returns or panics before. It logs a failure
// when it begins and every minute while it goes on, and returns nil: only ctx
// ends it.
func Keep(ctx context.Context, log *zap.Logger, what string, task func(context.Context) error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = 200 * time.Millisecond
	pause.MaxInterval = 5 * time.Second
	var logged time.Time
	for ctx.Err() == nil {
		started := time.Now()
		failed := once(ctx, task)
		if ctx.Err() != nil {
			break
		}
		if time.Since(started) > healthy {
			pause.Reset()
			logged = time.Time{}
		}
		wait := pause.NextBackOff()
		if time.Since(logged) > again {
			logged = time.Now()
			log.Warn("cannot do it now; trying again", zap.String("task", what), zap.Error(failed))
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

func once(ctx context.Context, task func(context.Context) error) (err error) {
	defer Panic(&err)
	return task(ctx)
}

// Until runs the task until it returns nil once, or ctx ends, pausing in the same way.
func Until(ctx context.Context, log *zap.Logger, what string, task func(context.Context) error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	_ = Keep(ctx, log, what, func(ctx context.Context) error {
		err := task(ctx)
		if err == nil {
			done()
		}
		return err
	}) // nil always: it ends with ctx
}

// Every makes of a task one that does it at once and then in each interval, until ctx ends or it fails.
func Every(interval time.Duration, task func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			if err := task(ctx); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}
