// Package supervise keeps a task going that depends on something that may be away.
package supervise

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// healthy is how long a task must have run for its next failure to count as a first one.
const healthyAfter = 30 * time.Second

// again is how often a failure that goes on is logged.
const logInterval = time.Minute

// Keep runs the task until ctx ends, and starts it again after a back-off
// (0.2 s to 5 s, with jitter) whenever it returns or panics before. It logs a failure
// when it begins and every minute while it goes on, and returns nil: only ctx
// ends it.
func Run(ctx context.Context, log *zap.Logger, name string, task func(context.Context) error) error {
	backOff := backoff.NewExponentialBackOff()
	backOff.InitialInterval = 200 * time.Millisecond
	backOff.MaxInterval = 5 * time.Second
	var loggedAt time.Time
	for ctx.Err() == nil {
		startedAt := time.Now()
		err := runRecovering(ctx, task)
		if ctx.Err() != nil {
			break
		}
		if time.Since(startedAt) > healthyAfter {
			backOff.Reset()
			loggedAt = time.Time{}
		}
		wait := backOff.NextBackOff()
		if time.Since(loggedAt) > logInterval {
			loggedAt = time.Now()
			log.Warn("cannot do it now; trying again", zap.String("task", name), zap.Error(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

func runRecovering(ctx context.Context, task func(context.Context) error) (err error) {
	defer RecoverTo(&err)
	return task(ctx)
}

// Until runs the task until it returns nil once, or ctx ends, pausing in the same way.
func RunUntilSuccess(ctx context.Context, log *zap.Logger, name string, task func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = Run(ctx, log, name, func(ctx context.Context) error {
		err := task(ctx)
		if err == nil {
			cancel()
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
