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

// Keep runs the task until ctx ends, and starts it again after a back-off
// (0.2 s to 5 s, with jitter) whenever it returns before. It logs each failure
// and returns nil: only ctx ends it.
func Keep(ctx context.Context, log *zap.Logger, what string, task func(context.Context) error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = 200 * time.Millisecond
	pause.MaxInterval = 5 * time.Second
	for ctx.Err() == nil {
		started := time.Now()
		err := task(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(started) > healthy {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		log.Warn("trying again", zap.String("task", what), zap.Duration("in", wait.Round(time.Millisecond)), zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// Until runs the task until it returns nil once, pausing in the same way.
// It returns ctx's error when ctx ends first.
func Until(ctx context.Context, log *zap.Logger, what string, task func(context.Context) error) error {
	done, cancel := context.WithCancel(ctx)
	defer cancel()
	_ = Keep(done, log, what, func(ctx context.Context) error {
		err := task(ctx)
		if err == nil {
			cancel()
		}
		return err
	})
	return ctx.Err()
}
