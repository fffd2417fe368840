package docker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Run runs one job in a container of its own. Its time runs from the agent's
// start. When ctx ends, the container is killed, and ctx's cause returned; any
// other error means that the sandbox could not do its part (see Err...).
// Beside an error the outcome holds nothing but its Record. Who gets an outcome
// closes it.
//
// job.Egress is closed once before Run returns, whatever happens. After a result
// the container's removal may still be under way; Close awaits it.
func (d *Driver) Run(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
	called := time.Now()
	if job.Egress == nil {
		job.Egress = noEgress{}
	}
	closeEgress := sync.OnceFunc(func() {
		if err := job.Egress.Close(); err != nil {
			d.log.Warn("egress did not close cleanly", zap.String("execution", job.Execution), zap.Error(err))
		}
	})
	defer closeEgress()
	job, err := normalizeJob(job)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	s := newSpec(job.Image, job.Limits)
	done := make(chan struct{})
	defer close(done)
	d.background.Go(func() { d.refillAfterJob(ctx, s, done) })
	c, err := d.acquire(ctx, s, job.Execution)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	// A container that was started ahead has no label that says so.
	d.log.Debug("container has its job", zap.String("execution", job.Execution), zap.String("container", c.name))
	outcome, err := d.runInContainer(ctx, c, job, called)
	closeEgress() // discard awaits the end of its Serve
	removed := d.discard(ctx, c)
	if err != nil || outcome.EndReason == sandbox.TimedOut {
		// Whoever stopped a job may count on its having stopped.
		outcome.Record.Times.Removed = <-removed
	}
	return outcome, err
}
