package docker

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Run runs one job in a container of its own. Job.Timeout starts with the agent. When ctx ends, Run kills the container
// and returns the cause of ctx; but if that is sandbox.ErrStop and the agent runs, Run ends the agent and returns the
// outcome, within stopTimeout. Any other error means that the sandbox failed (see Err...), not the job. It is a
// *sandbox.StartError if the job did not begin: init did not acknowledge it. With an error, the Outcome has its Record
// only. The caller closes the Outcome.
//
// Run closes job.Egress exactly one time before it returns, in every case. After a result, the removal of the container
// may still be in progress; Close waits for it.
func (d *Driver) Run(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
	calledAt := time.Now()
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
	spec := newSpec(job.Image, job.Limits)
	d.history.recordJob(spec)
	done := make(chan struct{})
	defer close(done)
	next := d.demand(spec, job)
	d.inBackground(func() { d.refillAfterJob(ctx, next, done) })
	c, err := d.acquire(ctx, spec, job)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	// A warm container has no label with its execution, so the log has it.
	d.log.Debug("job assigned to container", zap.String("execution", job.Execution), zap.String("container", c.name))
	r := &jobRun{driver: d, container: c, job: job, calledAt: calledAt}
	outcome, err := r.run(ctx)
	closeEgress() // discard waits until Serve returns
	removed := d.discard(ctx, c)
	if err != nil || outcome.EndReason == sandbox.TimedOut || outcome.EndReason == sandbox.Stopped {
		// Wait for the removal: after a stopped job, none of its processes may run when Run returns.
		outcome.Record.Times.Removed = <-removed
	}
	return outcome, err
}

// acquire returns a container that waits for its job: one in which the job's agent has been started, or one without an
// agent that still runs, or a new one.
func (d *Driver) acquire(ctx context.Context, spec containerSpec, job sandbox.Job) (*sandboxContainer, error) {
	if started, ok := spec.withAgent(job); ok {
		if c := d.takeWaiting(ctx, started); c != nil {
			c.record.Warm, c.record.Ahead = true, true
			return c, nil
		}
	}
	if c := d.takeWaiting(ctx, spec); c != nil {
		c.record.Warm = true
		return c, nil
	}
	return d.prepare(ctx, spec, job.Execution)
}

// demand counts a job as demand for one more container, and returns what the pool is to have for the next job like it.
func (d *Driver) demand(spec containerSpec, job sandbox.Job) containerSpec {
	var start *sandbox.Job
	if isTemplate(job) {
		start = template(job)
		spec, _ = spec.withAgent(job)
	}
	d.pool.recordDemand(spec, start, time.Now())
	return spec
}
