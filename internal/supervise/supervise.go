// Package supervise runs tasks that must outlive failures: it restarts a task that returns or panics, with a back-off,
// and turns panics into errors. It knows nothing about what the tasks do and never decides that one is to end: a task
// ends with its context.
package supervise

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// A task that ran for healthyAfter counts as healthy: its next failure starts with the shortest back-off.
const healthyAfter = 30 * time.Second

// logInterval is the time between two log lines about a failure that goes on.
const logInterval = time.Minute

// Run runs the task until ctx ends. When the task returns or panics before that, Run starts it again after a back-off
// of 0.2 s to 5 s, with jitter. It logs a failure when it begins and every minute while it goes on. It returns nil.
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
			log.Warn("task failed; retrying", zap.String("task", name), zap.Error(err))
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

// RunUntilSuccess runs the task until it returns nil or ctx ends, with the same back-off as Run.
func RunUntilSuccess(ctx context.Context, log *zap.Logger, name string, task func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = Run(ctx, log, name, func(ctx context.Context) error { // always nil
		err := task(ctx)
		if err == nil {
			cancel()
		}
		return err
	})
}

// Every returns a task that calls f at once and then after each interval, until ctx ends or f fails.
func Every(interval time.Duration, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			if err := f(ctx); err != nil {
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
