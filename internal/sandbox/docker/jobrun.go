package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// grace is what init gets beyond the job's timeout to say how far the job
	// came. The container is killed then, whatever init said.
	gracePeriod = 250 * time.Millisecond
	// collectTimeout bounds the taking of files; it is not the job's time.
	collectTimeout = 10 * time.Second
)

var (
	errJobTimeout        = errors.New("job's time is over")
	errAgentStartTimeout = fmt.Errorf("%w: agent did not start in time", ErrLost)
	errCollectTimeout    = fmt.Errorf("%w: files did not come in time", ErrLost)
)

// visit is the one conversation with a container's init.
type jobRun struct {
	d        *Driver
	c        *sandboxContainer
	job      sandbox.Job
	calledAt time.Time // Run's call
	cancel   context.CancelCauseFunc
	deadline *time.Timer // from the call on, of what has to come next
	spool    spool
	outcome  sandbox.Outcome
}

// runIn gives the job to a waiting container and returns what came of it. The
// container still runs when it returns.
func (d *Driver) runInContainer(ctx context.Context, c *sandboxContainer, job sandbox.Job, called time.Time) (sandbox.Outcome, error) {
	c.record.Limits, c.record.Times.Dispatched = job.Limits, time.Now()
	out, err := d.exchangeFrames(ctx, c, job, called)
	if err != nil {
		out = sandbox.Outcome{}
	}
	out.Record = c.record
	return out, err
}

// converse makes an error of a panic over what the container says, which has to
// be removed all the same.
func (d *Driver) exchangeFrames(ctx context.Context, c *sandboxContainer, job sandbox.Job, called time.Time) (_ sandbox.Outcome, err error) {
	defer supervise.RecoverTo(&err)
	raw, secret, err := encodeJob(job)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	if err := c.serveEgress(ctx, job.Egress); err != nil {
		return sandbox.Outcome{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A closed connection is what ends a read or a write that waits.
	defer context.AfterFunc(ctx, c.stream.Close)()

	v := &jobRun{d: d, c: c, job: job, calledAt: called, cancel: cancel, spool: spool{allowed: job.Collect}}
	defer v.spool.Close()
	v.setDeadline(d.startTimeout, errAgentStartTimeout)
	defer func() { v.deadline.Stop() }()
	stream := &demux{r: c.stream.Reader}
	// Not before reading begins: only that tells of an init that died while its
	// input was full. A write that fails needs no telling besides.
	c.jobWrite.Go(func() { _, _ = c.stream.Conn.Write(raw) })
	reports := frame.NewReader(stream, secret)
	for {
		report, err := reports.Next()
		if err != nil {
			return v.handleStreamError(ctx, err, stream)
		}
		if report.Kind == frame.Ended {
			return v.buildOutcome(ctx, report)
		}
		if err := v.handleReport(report); err != nil {
			return sandbox.Outcome{}, err
		}
	}
}

// expect gives up with cause unless something else is expected within d.
func (v *jobRun) setDeadline(d time.Duration, cause error) {
	if v.deadline != nil {
		v.deadline.Stop()
	}
	v.deadline = time.AfterFunc(d, func() { v.cancel(cause) })
}

// hear takes one report that is not the last.
func (v *jobRun) handleReport(report frame.Report) error {
	times := &v.c.record.Times
	switch report.Kind {
	case frame.Started:
		times.AgentStarted = time.Now()
		v.outcome.AgentStarted = time.Since(v.calledAt)
		v.setDeadline(v.job.Timeout+gracePeriod, errJobTimeout)
	case frame.Stdout:
		if times.FirstOutput.IsZero() {
			times.FirstOutput = time.Now()
		}
		if int64(len(v.outcome.Stdout)+len(report.Body)) > v.job.Limits.Output {
			return fmt.Errorf("%w: more output than was asked for", ErrProtocol)
		}
		v.outcome.Stdout = append(v.outcome.Stdout, report.Body...)
		if v.job.OnStdout != nil {
			v.job.OnStdout(report.Body)
		}
	case frame.FileStart:
		if len(v.spool.files) == 0 {
			v.setDeadline(collectTimeout, errCollectTimeout)
		}
		return v.spool.beginFile(string(report.Body), report.Mode)
	case frame.FileContent:
		return v.spool.writeContent(report.Body)
	case frame.Fault:
		return fmt.Errorf("%w: %s", ErrFault, report.Body)
	default:
		return fmt.Errorf("%w: report of kind %q", ErrProtocol, report.Kind)
	}
	return nil
}
