package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// ended makes the outcome of what init found.
func (v *jobRun) buildOutcome(ctx context.Context, report frame.Report) (sandbox.Outcome, error) {
	v.c.record.Times.Result = time.Now()
	r := report.Result
	out := v.outcome
	out.OmittedFileCount = r.OmittedFileCount
	out.ExitCode = r.ExitCode
	out.Truncated = r.Output > int64(len(out.Stdout))
	out.Stderr = append([]byte(nil), report.Body...)
	out.Wall, out.PeakMemory, out.CPUTime = r.Wall, r.Memory, r.CPU
	switch r.Reason {
	case frame.Deadline:
		out.EndReason = sandbox.TimedOut
	case frame.OutputLimit:
		out.EndReason = sandbox.OutputLimit
	case frame.NoOutput:
		out.EndReason = sandbox.NoOutput
	case frame.Exit:
		killed, err := v.wasOOMKilled(ctx, r)
		if err != nil {
			return sandbox.Outcome{}, err
		}
		out.EndReason = sandbox.Exited
		if killed {
			out.EndReason = sandbox.OutOfMemory
		}
	default:
		return sandbox.Outcome{}, fmt.Errorf("%w: result for reason %q", ErrProtocol, r.Reason)
	}
	v.spool.moveTo(&out)
	return out, nil
}

// ranOutOfMemory goes by what the kernel counted; where init cannot see that,
// the Engine may.
func (v *jobRun) wasOOMKilled(ctx context.Context, r frame.Result) (bool, error) {
	if r.OOMKills >= 0 {
		return r.OOMKills > 0, nil
	}
	state, err := v.d.containerState(ctx, v.c)
	if err != nil {
		return false, err
	}
	return state.OOMKilled, nil
}

// broken makes sense of a conversation that stopped before its end.
func (v *jobRun) handleStreamError(ctx context.Context, err error, stream *demux) (sandbox.Outcome, error) {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errJobTimeout):
		out := v.outcome
		out.EndReason, out.ExitCode, out.Wall = sandbox.TimedOut, sigkillExitCode, v.job.Timeout
		return out, nil
	case cause != nil:
		return sandbox.Outcome{}, cause
	case errors.Is(err, frame.ErrForged), errors.Is(err, frame.ErrMalformed), errors.Is(err, frame.ErrTooLarge):
		return sandbox.Outcome{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return v.inspectExit(ctx, stream)
}

const (
	sigkillExitCode = 128 + 9
	// exitTimeout bounds how long the Engine may take to notice that a
	// container ended whose output did. It needs 31 to 41 ms.
	exitTimeout = 10 * time.Second
)

// died asks the Engine about a container whose init is gone without a word.
// The kernel's killing it for memory is the job's doing, anything else ours.
func (v *jobRun) inspectExit(ctx context.Context, stream *demux) (sandbox.Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, exitTimeout, fmt.Errorf("%w: connection ended, container did not", ErrLost))
	defer cancel()
	exited, errs := v.d.api.ContainerWait(ctx, v.c.id, container.WaitConditionNotRunning)
	select {
	case <-exited:
	case err := <-errs:
		return sandbox.Outcome{}, containerError(ctx, "await container's exit", err)
	}
	state, err := v.d.exitState(ctx, v.c)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	if !state.OOMKilled {
		return sandbox.Outcome{}, fmt.Errorf("%w: init exited with %d: %q", ErrLost, state.ExitCode, stream.stderr)
	}
	out := v.outcome
	out.EndReason, out.ExitCode = sandbox.OutOfMemory, sigkillExitCode
	out.Wall = max(0, time.Since(v.calledAt)-out.AgentStarted)
	out.PeakMemory = v.job.Limits.Memory
	return out, nil
}

// The Engine hears of a lack of memory and of an exit in two messages, and the
// exit's may be the first.
const (
	maxOOMPolls     = 6
	oomPollInterval = 50 * time.Millisecond
)

// lastState is the state of a container that has ended. It looks more than once
// where a kill is not explained yet.
func (d *Driver) exitState(ctx context.Context, c *sandboxContainer) (*container.State, error) {
	tick := time.NewTicker(oomPollInterval)
	defer tick.Stop()
	for poll := 1; ; poll++ {
		state, err := d.containerState(ctx, c)
		if err != nil || state.OOMKilled || state.ExitCode != sigkillExitCode || poll == maxOOMPolls {
			return state, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (d *Driver) containerState(ctx context.Context, c *sandboxContainer) (*container.State, error) {
	info, err := d.api.ContainerInspect(ctx, c.id)
	if err != nil {
		return nil, containerError(ctx, "inspect container", err)
	}
	return info.State, nil
}

// lost translates an error about a container that should be there: somebody
// else may have removed it.
func containerError(ctx context.Context, op string, err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%s: %w: %w", op, ErrLost, err)
	}
	return engineError(ctx, op, err)
}
