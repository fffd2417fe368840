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
	// gracePeriod is the time after the job's time-out in which init may still report the result. Then the driver kills
	// the container, whatever init reports.
	gracePeriod = 250 * time.Millisecond
	// collectTimeout limits the transfer of output files. It is not part of the job's time.
	collectTimeout = 10 * time.Second
)

var (
	errJobTimeout        = errors.New("job timed out")
	errAgentStartTimeout = fmt.Errorf("%w: agent did not start in time", ErrLost)
	errAgentNotStarted   = errors.New("the image cannot run the agent's program")
	errCollectTimeout    = fmt.Errorf("%w: output files did not arrive in time", ErrLost)
)

// jobRun runs one job in a container that waits for it. It sends the job frame to the container's init and reads its
// reports.
type jobRun struct {
	driver    *Driver
	container *sandboxContainer
	job       sandbox.Job
	calledAt  time.Time // when Driver.Run was called

	cancel         context.CancelCauseFunc
	deadline       *time.Timer // for the next step of the run; see setDeadline
	reported       bool        // init has sent a report, which acknowledges the job
	oomKillsBefore int64       // of the host, before the job; -1: unknown
	spool          spool
	outcome        sandbox.Outcome
}

// run returns the outcome of the job. The container still runs when it returns.
func (r *jobRun) run(ctx context.Context) (sandbox.Outcome, error) {
	record := &r.container.record
	r.container.endsByItself = false
	record.Limits, record.Times.Dispatched = r.job.Limits, time.Now()
	r.oomKillsBefore = r.driver.hostOOMKills()
	outcome, err := r.exchangeFrames(ctx)
	if err != nil {
		outcome = sandbox.Outcome{}
		if !r.reported {
			err = r.driver.recordFailure(ctx, newSpec(r.job.Image, r.job.Limits), err)
		}
	}
	r.container.endsByItself = err == nil && outcome.EndReason != sandbox.TimedOut
	outcome.Record = *record
	return outcome, err
}

// exchangeFrames sends the job and reads reports up to the last one. A panic while it handles the container's data
// becomes an error: the caller must still remove the container.
func (r *jobRun) exchangeFrames(ctx context.Context) (_ sandbox.Outcome, err error) {
	defer supervise.RecoverTo(&err)
	raw, secret, err := encodeJob(r.job)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	c := r.container
	if err := c.serveEgress(ctx, r.job.Egress); err != nil {
		return sandbox.Outcome{}, err
	}
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	// The end of ctx closes the connection, which ends a blocked read or write.
	defer context.AfterFunc(ctx, c.stream.Close)()

	r.spool.allowed = r.job.Collect
	defer r.spool.Close()
	r.setDeadline(r.driver.startTimeout, errAgentStartTimeout)
	defer func() { r.deadline.Stop() }()
	stream := &demux{r: c.stream.Reader}
	// The write runs beside the reads: if init ends while its input is full, only a read notices. A failed write needs
	// no handling, because the reads then fail as well.
	c.jobWrite.Go(func() { _, _ = c.stream.Conn.Write(raw) })
	reports := frame.NewReader(stream, secret)
	for {
		report, err := reports.Next()
		if err != nil {
			return r.handleStreamError(ctx, err, stream)
		}
		r.reported = true
		if report.Kind == frame.Ended {
			return r.buildOutcome(report)
		}
		if err := r.handleReport(report); err != nil {
			return sandbox.Outcome{}, err
		}
	}
}

// setDeadline cancels the run with cause after d, unless another call replaces the deadline before.
func (r *jobRun) setDeadline(d time.Duration, cause error) {
	if r.deadline != nil {
		r.deadline.Stop()
	}
	r.deadline = time.AfterFunc(d, func() { r.cancel(cause) })
}

// handleReport handles a report that is not the last one.
func (r *jobRun) handleReport(report frame.Report) error {
	times := &r.container.record.Times
	switch report.Kind {
	case frame.Started:
		times.AgentStarted = time.Now()
		r.outcome.AgentStarted = time.Since(r.calledAt)
		r.setDeadline(r.job.Timeout+gracePeriod, errJobTimeout)
	case frame.Stdout:
		if times.FirstOutput.IsZero() {
			times.FirstOutput = time.Now()
		}
		if int64(len(r.outcome.Stdout)+len(report.Body)) > r.job.Limits.Output {
			return fmt.Errorf("%w: more standard output than the limit", ErrProtocol)
		}
		r.outcome.Stdout = append(r.outcome.Stdout, report.Body...)
		if r.job.OnStdout != nil {
			r.job.OnStdout(report.Body)
		}
	case frame.FileStart:
		if len(r.spool.files) == 0 {
			r.setDeadline(collectTimeout, errCollectTimeout)
		}
		return r.spool.beginFile(string(report.Body), report.Mode)
	case frame.FileContent:
		return r.spool.writeContent(report.Body)
	case frame.Fault:
		if report.NotStarted {
			// Init takes its acknowledgement back. It says so only while no agent runs, and the agent cannot forge it.
			r.reported, times.AgentStarted = false, time.Time{}
			return fmt.Errorf("%w: %w: %s", ErrFault, errAgentNotStarted, report.Body)
		}
		return fmt.Errorf("%w: %s", ErrFault, report.Body)
	default:
		return fmt.Errorf("%w: report of kind %q", ErrProtocol, report.Kind)
	}
	return nil
}
