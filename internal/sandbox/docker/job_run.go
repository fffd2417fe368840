package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
	"github.com/airlock-run/airlock/internal/supervise"
)

// collectTimeout limits the transfer of output files, and snapshotTimeout that of the workspace's snapshot. They are
// not part of the job's time.
const (
	collectTimeout  = 10 * time.Second
	snapshotTimeout = time.Minute
)

var (
	errAgentStartTimeout = fmt.Errorf("%w: agent did not start in time", ErrLost)
	errAgentNotStarted   = errors.New("the image cannot run the agent's program")
	errCollectTimeout    = fmt.Errorf("%w: output files did not arrive in time", ErrLost)
)

// jobRun runs one job in a container that waits for it. It sends the frames of the job to the container's init and
// reads its reports.
type jobRun struct {
	driver    *Driver
	container *sandboxContainer
	job       sandbox.Job
	calledAt  time.Time // when Driver.Run was called

	cancel         context.CancelCauseFunc // drops the job
	stopper        stopper
	reported       bool  // init has sent a report, which acknowledges the job
	oomKillsBefore int64 // of the host, before the job; -1: unknown
	killed         bool  // the job has ended without a last report
	stdoutBytes    int64 // received
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
	r.container.endsByItself = err == nil && !r.killed
	outcome.Record = *record
	return outcome, err
}

// exchangeFrames sends the job and reads reports up to the last one. A panic while it handles the container's data
// becomes an error: the caller must still remove the container.
func (r *jobRun) exchangeFrames(ctx context.Context) (_ sandbox.Outcome, err error) {
	defer supervise.RecoverTo(&err)
	c := r.container
	raw, err := encodeJob(r.job)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	var start []byte // nil: the agent has been started
	if c.secret == nil {
		if start, c.secret, err = encodeStart(r.job, false); err != nil {
			return sandbox.Outcome{}, err
		}
	}
	if err := c.writeNotice(r.job.Network); err != nil {
		return sandbox.Outcome{}, err
	}
	if err := c.serveEgress(ctx, r.job.Egress); err != nil {
		return sandbox.Outcome{}, err
	}
	caller := ctx
	ctx, r.cancel = context.WithCancelCause(context.WithoutCancel(caller))
	defer r.cancel(nil)
	// The end of ctx closes the connection, which ends a blocked read or write.
	defer context.AfterFunc(ctx, c.stream.Close)()
	r.stopper.init(r.cancel)
	defer r.stopper.close()
	defer context.AfterFunc(caller, func() { r.stopper.callerEnded(context.Cause(caller)) })()

	r.spool.allowed, r.spool.folder, r.spool.maxSnapshot = r.job.Collect, r.job.Folder, r.job.MaxSnapshot
	defer r.spool.Close()
	r.stopper.setDeadline(r.driver.startTimeout+restoreTime(r.job), errAgentStartTimeout)
	stream := &demux{r: c.stream.Reader}
	// The write runs beside the reads: if init ends while its input is full, only a read notices. A failed write needs
	// no handling, because the reads then fail as well.
	c.jobWrite.Go(func() {
		if start != nil {
			_ = writeStart(c.stream.Conn, start, r.job.Workspace)
		}
		_, _ = c.stream.Conn.Write(raw)
		for _, f := range r.job.Streamed {
			if _, err := io.CopyN(c.stream.Conn, f.Content, f.Size); err != nil {
				return // what follows would be taken for a part of the file
			}
		}
		r.writeControls(ctx)
	})
	reports := frame.NewReader(stream, c.secret)
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

// writeControls tells init when the egress waits, so that a job with an idle time-out is not ended for that, and at
// last when to stop the job.
func (r *jobRun) writeControls(ctx context.Context) {
	var look <-chan time.Time
	if r.job.IdleTimeout > 0 && r.job.Egress.MaxWait() > 0 {
		ticker := time.NewTicker(max(r.job.IdleTimeout/4, time.Millisecond))
		defer ticker.Stop()
		look = ticker.C
	}
	waited := time.Duration(0)
	for {
		select {
		case <-look:
			if now := r.job.Egress.Waited(); now > waited {
				waited = now
				_, _ = r.container.stream.Conn.Write(frame.EncodeControl(frame.Control{Waiting: true}))
			}
		case <-r.stopper.stopping:
			_, _ = r.container.stream.Conn.Write(frame.EncodeControl(frame.Control{Stop: true}))
			return
		case <-ctx.Done():
			return
		}
	}
}

// restoreTime returns how long the start of a job may take longer because of its files, at 8 MiB a second.
func restoreTime(job sandbox.Job) time.Duration {
	size := job.Workspace.Size
	for _, f := range job.Streamed {
		size += f.Size
	}
	return time.Duration(size>>20) * time.Second / 8
}

// handleStdout handles the next part of the standard output.
func (r *jobRun) handleStdout(part []byte) error {
	if r.stdoutBytes += int64(len(part)); r.stdoutBytes > maxStdout(r.job) {
		return fmt.Errorf("%w: more standard output than the limit", ErrProtocol)
	}
	if keep := r.job.Keep; keep != nil {
		keep.Keep(part)
		r.stopper.printed(r.job, keep.Settled())
	} else {
		r.outcome.Stdout = append(r.outcome.Stdout, part...)
	}
	if r.job.OnStdout != nil {
		r.job.OnStdout(part)
	}
	return nil
}

// handleReport handles a report that is not the last one.
func (r *jobRun) handleReport(report frame.Report) error {
	times := &r.container.record.Times
	switch report.Kind {
	case frame.Started:
		times.AgentStarted = time.Now()
		r.outcome.AgentStarted = time.Since(r.calledAt)
		r.stopper.agentStarted(r.job)
	case frame.Stdout:
		if times.FirstOutput.IsZero() {
			times.FirstOutput = time.Now()
		}
		return r.handleStdout(report.Body)
	case frame.FileStart:
		if len(r.spool.files) == 0 {
			r.stopper.filesBegan()
		}
		return r.spool.beginFile(string(report.Body), report.Mode)
	case frame.FileContent:
		return r.spool.writeContent(report.Body)
	case frame.Snapshot:
		if r.spool.snapshot.size == 0 {
			r.stopper.snapshotBegan()
		}
		return r.spool.writeSnapshot(report.Body)
	case frame.Fault:
		if report.FilesRefused {
			return invalidJob("%s", report.Body)
		}
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
