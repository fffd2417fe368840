package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// buildOutcome returns the outcome for init's last report.
func (r *jobRun) buildOutcome(report frame.Report) (sandbox.Outcome, error) {
	r.container.record.Times.Result = time.Now()
	result := report.Result
	out := r.outcome
	out.OmittedFileCount = result.OmittedFileCount
	out.ExitCode = result.ExitCode
	if keep := r.job.Keep; keep != nil {
		out.Stdout, out.Truncated = keep.Kept()
	} else {
		out.Truncated = result.StdoutBytes > int64(len(out.Stdout))
	}
	out.Stderr = append([]byte(nil), report.Body...)
	out.Wall, out.PeakMemory, out.CPUTime = result.Wall, result.PeakMemory, result.CPUTime
	out.OOMKills = max(0, result.OOMKills)
	switch result.Reason {
	case frame.Deadline:
		out.EndReason = sandbox.TimedOut
	case frame.OutputLimit:
		out.EndReason = sandbox.OutputLimit
	case frame.NoOutput:
		out.EndReason = sandbox.NoOutput
	case frame.Stopped:
		out.EndReason = stopReason(r.stopper.stopCause())
	case frame.Exit:
		out.EndReason = sandbox.Exited
		if result.ExitCode == sandbox.SIGKILLExitCode && result.OOMKills > 0 {
			out.EndReason = sandbox.OutOfMemory
		}
	default:
		return sandbox.Outcome{}, fmt.Errorf("%w: result with reason %q", ErrProtocol, result.Reason)
	}
	r.spool.moveTo(&out, result.Snapshot)
	return out, nil
}

// stopReason returns the reason of the end of a job that was stopped.
func stopReason(cause error) sandbox.EndReason {
	switch {
	case errors.Is(cause, errJobTimeout):
		return sandbox.TimedOut
	case errors.Is(cause, errSettled):
		return sandbox.Settled
	default:
		return sandbox.Stopped
	}
}

// killedOutcome returns the outcome of a job whose last report did not come in time after it was stopped.
func (r *jobRun) killedOutcome(reason sandbox.EndReason) sandbox.Outcome {
	r.killed = true
	out := r.outcome
	out.EndReason, out.ExitCode, out.Wall = reason, sandbox.SIGKILLExitCode, time.Since(r.calledAt)-out.AgentStarted
	if keep := r.job.Keep; keep != nil {
		out.Stdout, out.Truncated = keep.Kept()
	}
	snapshot := sandbox.SnapshotState("")
	if r.job.MaxSnapshot > 0 {
		snapshot = sandbox.SnapshotNoTime
	}
	if r.spool.snapshot.size == 0 { // or all files are complete
		out.OmittedFileCount = r.spool.dropLast()
	}
	r.spool.moveTo(&out, snapshot)
	return out
}

// handleStreamError returns the outcome or the error of a run whose stream of reports ended before the last report.
func (r *jobRun) handleStreamError(ctx context.Context, err error, stream *demux) (sandbox.Outcome, error) {
	cause := context.Cause(ctx)
	switch {
	case cause != nil && errors.Is(cause, r.stopper.stopCause()):
		return r.killedOutcome(stopReason(cause)), nil
	case cause != nil:
		return sandbox.Outcome{}, cause
	case !isReportInvalid(err):
		return r.inspectExit(ctx, stream)
	case r.reported: // init, which sent a valid report before, sends no invalid one; under gVisor, the job can
		return r.tampered(r.outcome, err), nil
	case errors.Is(err, frame.ErrVersion):
		return sandbox.Outcome{}, fmt.Errorf("%w: %w; %s", ErrProtocol, err, rebuildHint)
	default:
		return sandbox.Outcome{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
}

func isReportInvalid(err error) bool {
	return errors.Is(err, frame.ErrVersion) || errors.Is(err, frame.ErrForged) ||
		errors.Is(err, frame.ErrMalformed) || errors.Is(err, frame.ErrTooLarge)
}

// exitTimeout limits the time between the end of a container's output and the Engine's report that the container has
// ended. The Engine needs 31 to 41 ms.
const exitTimeout = 10 * time.Second

var (
	errDisconnected = fmt.Errorf("%w: connection to the container ended", ErrLost)
	errInitUnusable = fmt.Errorf("%w: init cannot run the job", ErrLost)
)

// rebuildHint is part of the errors about a sandbox-init of another release. Such an init rejects the job frame and
// ends before its first report.
const rebuildHint = "the image may contain a sandbox-init of another release: rebuild the image"

// inspectExit finds out why a container ended without a result. If the job ended it, or needed too much memory, that is
// the job's outcome. Any other reason is an error of the sandbox.
func (r *jobRun) inspectExit(ctx context.Context, stream *demux) (sandbox.Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, exitTimeout, errDisconnected)
	defer cancel()
	exited, errs := r.driver.api.ContainerWait(ctx, r.container.id, container.WaitConditionNotRunning)
	var exitCode int
	select {
	case exit := <-exited:
		exitCode = int(exit.StatusCode)
	case err := <-errs:
		return sandbox.Outcome{}, containerError(ctx, "wait for container's exit", err)
	}
	if !r.reported && exitCode != sandbox.SIGKILLExitCode {
		return sandbox.Outcome{}, earlyExitError(exitCode, stream.stderr)
	}
	cause, err := r.findExitCause(ctx, exitCode)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	out := r.outcome
	out.ExitCode, out.Wall = exitCode, max(0, time.Since(r.calledAt)-out.AgentStarted)
	switch cause {
	case causeMemory:
		out.EndReason, out.PeakMemory = sandbox.OutOfMemory, r.job.Limits.Memory
		return out, nil
	case causeJob:
		return r.tampered(out, fmt.Errorf("init exited with %d: %q", exitCode, stream.stderr)), nil
	default:
		return sandbox.Outcome{}, fmt.Errorf("%w: init exited with %d: %q", ErrLost, exitCode, stream.stderr)
	}
}

// earlyExitError returns the error about an init that exited before its first report. An init that says why it ends, or
// that ends as ours never does, is an error of the image. Ours ends with 0 or 1 when its input ends, and then the lost
// connection carries no message.
func earlyExitError(exitCode int, stderr []byte) error {
	if len(stderr) == 0 && exitCode <= initErrorCode {
		return fmt.Errorf("%w: init exited with %d before its first report; %s", errDisconnected, exitCode, rebuildHint)
	}
	return fmt.Errorf("%w: init exited with %d before its first report: %q; %s", errInitUnusable, exitCode, stderr, rebuildHint)
}

// tampered returns the outcome of a job that ended its init or forged a report. Another attempt would end in the same
// way.
func (r *jobRun) tampered(out sandbox.Outcome, found error) sandbox.Outcome {
	r.driver.log.Warn("a job tampered with its sandbox", zap.String("execution", r.job.Execution), zap.Error(found))
	out.EndReason = sandbox.Tampered
	return out
}
