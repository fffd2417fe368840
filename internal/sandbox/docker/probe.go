package docker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// startHistory has what Probe needs to know of earlier starts. Its methods are safe for concurrent use.
type startHistory struct {
	mu     sync.Mutex
	failed *containerSpec // of the newest start that failed because of the Engine; nil after it has started
	job    *containerSpec // of the newest job
	// unusable are specs that the Engine refused to start while it started another one.
	unusable map[containerSpec]bool
}

func (h *startHistory) recordJob(spec containerSpec) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.job = &spec
}

func (h *startHistory) recordStart(spec containerSpec) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.unusable, spec)
	if h.failed != nil && *h.failed == spec {
		h.failed = nil
	}
}

// recordFailure returns the failure with another cause if the spec is known as unusable.
func (h *startHistory) recordFailure(spec containerSpec, failure *sandbox.StartError) *sandbox.StartError {
	h.mu.Lock()
	defer h.mu.Unlock()
	if failure.Cause == sandbox.EngineRefused && h.unusable[spec] {
		failure = &sandbox.StartError{Cause: sandbox.ImageUnusable, Err: failure.Err}
	}
	if !failure.Cause.OfImage() {
		h.failed = &spec
	}
	return failure
}

// recordUnusable records specs that the Engine refused to start, while it started another one.
func (h *startHistory) recordUnusable(specs []containerSpec) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, spec := range specs {
		h.unusable[spec] = true
	}
}

// specs returns the specs to try, in this order: that of the newest failure, that of the first warm pool, and that of
// the newest job.
func (h *startHistory) specs(warm []WarmPool) []containerSpec {
	h.mu.Lock()
	defer h.mu.Unlock()
	var specs []containerSpec
	add := func(spec containerSpec) {
		if !slices.Contains(specs, spec) && !h.unusable[spec] {
			specs = append(specs, spec)
		}
	}
	if h.failed != nil {
		add(*h.failed) // not if it is unusable
	}
	if len(warm) > 0 {
		add(newSpec(warm[0].Job.Image, withDefaults(warm[0].Job.Limits)))
	}
	if h.job != nil {
		add(*h.job)
	}
	return specs
}

func (d *Driver) recordStart(spec containerSpec) {
	d.history.recordStart(spec)
	d.pool.recordEngine(true, time.Now())
}

// recordFailure returns err as the error of prepare.
func (d *Driver) recordFailure(ctx context.Context, spec containerSpec, err error) error {
	err = startError(ctx, err)
	var failure *sandbox.StartError
	if !errors.As(err, &failure) {
		return err
	}
	failure = d.history.recordFailure(spec, failure)
	if !failure.Cause.OfImage() {
		d.pool.recordEngine(false, time.Now())
	}
	if failure.Cause == sandbox.StartTimedOut {
		d.gate.refuse(failure)
	}
	return failure
}

// Probe reports whether the Engine starts containers: it starts one, waits until its init acknowledges an empty job,
// and removes it. The container has the image and the limits of the newest start that the Engine failed, or else of the
// first warm pool, or else of the newest job. Without any of these, Probe is Ping.
//
// Probe returns nil, a *sandbox.StartError, or the cause of ctx. A container may be one that can never start: its image
// is missing or unusable, or its memory limit is too small. So if the Engine refuses it, Probe tries the next one of
// those above. If that one starts, Probe returns nil, and another refused start of the first kind is an error of its
// image, until one of them succeeds. A StartError that is OfImage says nothing about the Engine.
func (d *Driver) Probe(ctx context.Context) error {
	specs := d.history.specs(d.warm)
	if len(specs) == 0 {
		if err := d.Ping(ctx); err != nil {
			return startError(ctx, err)
		}
		return nil
	}
	var first error
	var refused []containerSpec
	for _, spec := range specs {
		err := d.probe(ctx, spec)
		if err == nil {
			d.history.recordUnusable(refused)
			return nil
		}
		if first == nil {
			first = err
		}
		var failure *sandbox.StartError
		if !errors.As(err, &failure) || failure.Cause != sandbox.EngineRefused && !failure.Cause.OfImage() {
			break
		}
		if failure.Cause == sandbox.EngineRefused {
			refused = append(refused, spec)
		}
	}
	return first
}

// Try reports whether the Engine starts the agent of a job: it starts a container and the agent in it, and removes the
// container when the agent has ended. Try returns nil, a *sandbox.StartError, ErrInvalidJob, or the cause of ctx.
func (d *Driver) Try(ctx context.Context, job sandbox.Job) error {
	job.Egress = noEgress{}
	job, err := normalizeJob(job)
	if err != nil {
		return err
	}
	spec := newSpec(job.Image, job.Limits)
	err = d.try(ctx, spec, job)
	if err == nil {
		d.history.recordJob(spec) // Probe may use it
	}
	return err
}

func (d *Driver) probe(ctx context.Context, spec containerSpec) error {
	job, err := normalizeJob(sandbox.Job{
		Execution: "probe", Image: spec.image, Argv: []string{initPath, "inspect"}, Timeout: settingsCheckTimeout,
		Limits: sandbox.Limits{Memory: spec.memory, CPUs: spec.cpus, PIDs: spec.pids}, Egress: noEgress{},
	})
	if err != nil {
		return err
	}
	return d.try(ctx, spec, job)
}

func (d *Driver) try(ctx context.Context, spec containerSpec, job sandbox.Job) error {
	c, err := d.prepare(ctx, spec, job.Execution)
	if err != nil {
		return err
	}
	r := &jobRun{driver: d, container: c, job: job, calledAt: time.Now()}
	outcome, err := r.run(ctx)
	<-d.discard(ctx, c)
	var failure *sandbox.StartError
	if ctx.Err() != nil || errors.As(err, &failure) {
		return err
	}
	return outcome.Close() // init acknowledged the job; how it ended does not matter
}
