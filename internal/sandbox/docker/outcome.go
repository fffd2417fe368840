package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// buildOutcome returns the outcome for init's last report.
func (r *jobRun) buildOutcome(ctx context.Context, report frame.Report) (sandbox.Outcome, error) {
	r.container.record.Times.Result = time.Now()
	result := report.Result
	out := r.outcome
	out.OmittedFileCount = result.OmittedFileCount
	out.ExitCode = result.ExitCode
	out.Truncated = result.StdoutBytes > int64(len(out.Stdout))
	out.Stderr = append([]byte(nil), report.Body...)
	out.Wall, out.PeakMemory, out.CPUTime = result.Wall, result.PeakMemory, result.CPUTime
	switch result.Reason {
	case frame.Deadline:
		out.EndReason = sandbox.TimedOut
	case frame.OutputLimit:
		out.EndReason = sandbox.OutputLimit
	case frame.NoOutput:
		out.EndReason = sandbox.NoOutput
	case frame.Exit:
		killed, err := r.wasOOMKilled(ctx, result)
		if err != nil {
			return sandbox.Outcome{}, err
		}
		out.EndReason = sandbox.Exited
		if killed {
			out.EndReason = sandbox.OutOfMemory
		}
	default:
		return sandbox.Outcome{}, fmt.Errorf("%w: result with reason %q", ErrProtocol, result.Reason)
	}
	r.spool.moveTo(&out)
	return out, nil
}

// wasOOMKilled reports whether the kernel killed a process of the container to free memory. It uses init's count, or
// the Engine's state if init could not read the count.
func (r *jobRun) wasOOMKilled(ctx context.Context, result frame.Result) (bool, error) {
	if result.OOMKills >= 0 {
		return result.OOMKills > 0, nil
	}
	state, err := r.driver.containerState(ctx, r.container)
	if err != nil {
		return false, err
	}
	return state.OOMKilled, nil
}

// handleStreamError returns the outcome or the error of a run whose stream of reports ended before the last report.
func (r *jobRun) handleStreamError(ctx context.Context, err error, stream *demux) (sandbox.Outcome, error) {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errJobTimeout):
		out := r.outcome
		out.EndReason, out.ExitCode, out.Wall = sandbox.TimedOut, sandbox.SIGKILLExitCode, r.job.Timeout
		return out, nil
	case cause != nil:
		return sandbox.Outcome{}, cause
	case errors.Is(err, frame.ErrVersion):
		return sandbox.Outcome{}, fmt.Errorf("%w: %w; %s", ErrProtocol, err, rebuildHint)
	case errors.Is(err, frame.ErrForged), errors.Is(err, frame.ErrMalformed), errors.Is(err, frame.ErrTooLarge):
		return sandbox.Outcome{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return r.inspectExit(ctx, stream)
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

// inspectExit asks the Engine why a container ended without a result. If the kernel killed init to free memory, that is
// the job's outcome. Any other reason is an error of the sandbox.
func (r *jobRun) inspectExit(ctx context.Context, stream *demux) (sandbox.Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, exitTimeout, errDisconnected)
	defer cancel()
	exited, errs := r.driver.api.ContainerWait(ctx, r.container.id, container.WaitConditionNotRunning)
	select {
	case <-exited:
	case err := <-errs:
		return sandbox.Outcome{}, containerError(ctx, "wait for container's exit", err)
	}
	state, err := r.driver.exitState(ctx, r.container)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	if !state.OOMKilled {
		return sandbox.Outcome{}, r.initExitError(state.ExitCode, stream.stderr)
	}
	out := r.outcome
	out.EndReason, out.ExitCode = sandbox.OutOfMemory, sandbox.SIGKILLExitCode
	out.Wall = max(0, time.Since(r.calledAt)-out.AgentStarted)
	out.PeakMemory = r.job.Limits.Memory
	return out, nil
}

// initExitError returns the error about an init that ended without a result. Before the first report, an init that says
// why it ends, or that ends as ours never does, is an error of the image. Ours ends with 0 or 1 when its input ends,
// and then the lost connection carries no message.
func (r *jobRun) initExitError(exitCode int, stderr []byte) error {
	switch {
	case r.reported || exitCode == sandbox.SIGKILLExitCode:
	case len(stderr) == 0 && exitCode <= 1:
		return fmt.Errorf("%w: init exited with %d before its first report; %s", errDisconnected, exitCode, rebuildHint)
	default:
		return fmt.Errorf("%w: init exited with %d before its first report: %q; %s", errInitUnusable, exitCode, stderr, rebuildHint)
	}
	return fmt.Errorf("%w: init exited with %d: %q", ErrLost, exitCode, stderr)
}

// The Engine learns of an out-of-memory kill and of the exit in two messages, and the exit may come first. With polls
// for 0.3 s in all, a busy host once took such a kill for a lost sandbox.
const (
	maxOOMPolls     = 40
	oomPollInterval = 50 * time.Millisecond
)

// exitState returns the state of a container that has ended. While the state shows a SIGKILL without a reason, it asks
// again, up to maxOOMPolls times.
func (d *Driver) exitState(ctx context.Context, c *sandboxContainer) (state *container.State, err error) {
	polls := 0
	err = poll(ctx, oomPollInterval, func() (explained bool, err error) {
		polls++
		if state, err = d.containerState(ctx, c); err != nil {
			return false, err
		}
		return state.OOMKilled || state.ExitCode != sandbox.SIGKILLExitCode || polls == maxOOMPolls, nil
	})
	return state, err
}

func (d *Driver) containerState(ctx context.Context, c *sandboxContainer) (*container.State, error) {
	info, err := d.api.ContainerInspect(ctx, c.id)
	if err != nil {
		return nil, containerError(ctx, "inspect container", err)
	}
	return info.State, nil
}
