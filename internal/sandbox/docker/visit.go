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

// grace is what init gets beyond the job's timeout to say how far the job
// came. The container is killed then, whatever init said.
const grace = 250 * time.Millisecond

var (
	errDeadline  = errors.New("job's time is over")
	errUnstarted = fmt.Errorf("%w: agent did not start in time", ErrLost)
)

// visit is the one conversation with a container's init.
type visit struct {
	d       *Driver
	c       *cell
	job     sandbox.Job
	called  time.Time // Run's call
	outcome sandbox.Outcome
}

// runIn gives the job to a waiting container and returns what came of it. The
// container still runs when it returns.
func (d *Driver) runIn(ctx context.Context, c *cell, job sandbox.Job, called time.Time) (sandbox.Outcome, error) {
	raw, secret, err := encode(job)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	if err := c.serve(ctx, job.Egress); err != nil {
		return sandbox.Outcome{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A closed connection is what ends a read or a write that waits.
	defer context.AfterFunc(ctx, c.stream.Close)()
	unstarted := time.AfterFunc(d.startTimeout, func() { cancel(errUnstarted) })
	defer unstarted.Stop()

	v := &visit{d: d, c: c, job: job, called: called}
	stream := &demux{r: c.stream.Reader}
	// Not before reading begins: only that tells of an init that died while its
	// input was full. A write that fails needs no telling besides.
	c.writing.Go(func() { _, _ = c.stream.Conn.Write(raw) })
	reports := frame.NewReader(stream, secret)
	for {
		report, err := reports.Next()
		if err != nil {
			return v.broken(ctx, err, stream)
		}
		switch report.Kind {
		case frame.Started:
			v.outcome.AgentStarted = time.Since(called)
			unstarted.Stop()
			deadline := time.AfterFunc(job.Timeout+grace, func() { cancel(errDeadline) })
			defer deadline.Stop()
		case frame.Stdout:
			if int64(len(v.outcome.Stdout)+len(report.Body)) > job.Limits.Output {
				return sandbox.Outcome{}, fmt.Errorf("%w: more output than was asked for", ErrProtocol)
			}
			v.outcome.Stdout = append(v.outcome.Stdout, report.Body...)
		case frame.Ended:
			return v.ended(ctx, report)
		case frame.Fault:
			return sandbox.Outcome{}, fmt.Errorf("%w: %s", ErrFault, report.Body)
		default:
			return sandbox.Outcome{}, fmt.Errorf("%w: report of kind %q", ErrProtocol, report.Kind)
		}
	}
}

// ended makes the outcome of what init found.
func (v *visit) ended(ctx context.Context, report frame.Report) (sandbox.Outcome, error) {
	r := report.Result
	out := v.outcome
	out.ExitCode = r.ExitCode
	out.Truncated = r.Output > int64(len(out.Stdout))
	out.Stderr = append([]byte(nil), report.Body...)
	out.Wall, out.PeakMemory, out.CPUTime = r.Wall, r.Memory, r.CPU
	switch r.Reason {
	case frame.Deadline:
		out.Ended = sandbox.TimedOut
	case frame.Flood:
		out.Ended = sandbox.OutputLimit
	case frame.Exit:
		killed, err := v.ranOutOfMemory(ctx, r)
		if err != nil {
			return sandbox.Outcome{}, err
		}
		out.Ended = sandbox.Exited
		if killed {
			out.Ended = sandbox.OutOfMemory
		}
	default:
		return sandbox.Outcome{}, fmt.Errorf("%w: result for reason %q", ErrProtocol, r.Reason)
	}
	return out, nil
}

// ranOutOfMemory goes by what the kernel counted; where init cannot see that,
// the Engine may.
func (v *visit) ranOutOfMemory(ctx context.Context, r frame.Result) (bool, error) {
	if r.OOMKills >= 0 {
		return r.OOMKills > 0, nil
	}
	state, err := v.d.state(ctx, v.c)
	if err != nil {
		return false, err
	}
	return state.OOMKilled, nil
}

// broken makes sense of a conversation that stopped before its end.
func (v *visit) broken(ctx context.Context, err error, stream *demux) (sandbox.Outcome, error) {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errDeadline):
		out := v.outcome
		out.Ended, out.ExitCode, out.Wall = sandbox.TimedOut, killedCode, v.job.Timeout
		return out, nil
	case cause != nil:
		return sandbox.Outcome{}, cause
	case errors.Is(err, frame.ErrForged), errors.Is(err, frame.ErrMalformed), errors.Is(err, frame.ErrTooLarge):
		return sandbox.Outcome{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return v.died(ctx, stream)
}

const (
	killedCode = 128 + 9
	// exitTimeout bounds how long the Engine may take to notice that a
	// container ended whose output did. It needs 31 to 41 ms.
	exitTimeout = 10 * time.Second
)

// died asks the Engine about a container whose init is gone without a word.
// The kernel's killing it for memory is the job's doing, anything else ours.
func (v *visit) died(ctx context.Context, stream *demux) (sandbox.Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, exitTimeout, fmt.Errorf("%w: connection ended, container did not", ErrLost))
	defer cancel()
	exits, failures := v.d.api.ContainerWait(ctx, v.c.id, container.WaitConditionNotRunning)
	select {
	case <-exits:
	case err := <-failures:
		return sandbox.Outcome{}, lost(ctx, "await container's exit", err)
	}
	state, err := v.d.state(ctx, v.c)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	if !state.OOMKilled {
		return sandbox.Outcome{}, fmt.Errorf("%w: init exited with %d: %q", ErrLost, state.ExitCode, stream.complaint)
	}
	out := v.outcome
	out.Ended, out.ExitCode = sandbox.OutOfMemory, killedCode
	out.Wall = max(0, time.Since(v.called)-out.AgentStarted)
	out.PeakMemory = v.job.Limits.Memory
	return out, nil
}

func (d *Driver) state(ctx context.Context, c *cell) (*container.State, error) {
	info, err := d.api.ContainerInspect(ctx, c.id)
	if err != nil {
		return nil, lost(ctx, "inspect container", err)
	}
	return info.State, nil
}

// lost translates an error about a container that should be there: somebody
// else may have removed it.
func lost(ctx context.Context, op string, err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%s: %w: %w", op, ErrLost, err)
	}
	return engineError(ctx, op, err)
}
