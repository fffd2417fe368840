package docker

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// onFirstOutput makes the job call f when it has printed something.
func onFirstOutput(job sandbox.Job, f func()) sandbox.Job {
	var called atomic.Bool
	job.OnStdout = func([]byte) {
		if called.CompareAndSwap(false, true) {
			f()
		}
	}
	return job
}

// contents returns the contents of the output files by their paths below the output folder.
func contents(t *testing.T, out sandbox.Outcome) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, f := range out.Files {
		data, err := io.ReadAll(f.Content)
		require.NoError(t, err)
		files[strings.TrimPrefix(f.Path, sandbox.OutputDir+"/")] = string(data)
	}
	return files
}

// What an agent has said and written is kept when it is stopped or out of time, and what it says and writes in answer
// to SIGTERM as well.
func TestStoppedAgentLeavesItsWork(t *testing.T) {
	d := newDriver(t, Config{})
	for name, c := range map[string]struct {
		timeout time.Duration
		want    sandbox.EndReason
	}{
		"stopped":     {time.Minute, sandbox.Stopped},
		"out of time": {time.Second, sandbox.TimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			job := probe("work-until-terminated")
			job.Timeout = c.timeout
			if c.want == sandbox.Stopped {
				job = onFirstOutput(job, func() { cancel(sandbox.ErrStop) })
			}
			out, err := d.Run(ctx, job)
			require.NoError(t, err)
			defer out.Close()
			require.Equal(t, c.want, out.EndReason)
			require.Equal(t, 7, out.ExitCode)
			require.Equal(t, "working\nterminated\n", string(out.Stdout))
			require.Equal(t, map[string]string{"so-far": "half", "notes": "stopped"}, contents(t, out))
			require.Empty(t, containers(t, d), "removed when Run returns")
		})
	}
}

// A canceled job is gone within 3 s, whatever its agent does.
func TestStopEndsStubbornAgent(t *testing.T) {
	for _, mode := range []string{"ignore-signals", "orphan-and-ignore-signals"} {
		t.Run(mode, func(t *testing.T) {
			d := newDriver(t, Config{})
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var stoppedAt time.Time
			out, err := d.Run(ctx, onFirstOutput(probe(mode, "1h"), func() {
				stoppedAt = time.Now()
				cancel(sandbox.ErrStop)
			}))
			require.NoError(t, err)
			require.Equal(t, sandbox.Stopped, out.EndReason)
			require.Equal(t, sandbox.SIGKILLExitCode, out.ExitCode)
			require.NotEmpty(t, out.Stdout)
			require.Empty(t, containers(t, d))
			require.Less(t, out.Record.Times.Removed.Sub(stoppedAt), 3*time.Second)
		})
	}
}

// A job that is stopped while init does not answer leaves the files that have arrived completely.
func TestStopWithSilentInit(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	job := onFirstOutput(probe("exit", "0"), func() { cancel(sandbox.ErrStop) })
	out, err := runContextWithFakeInit(ctx, t, newDriver(t, Config{StartTimeout: time.Second}), job, func(received frame.Start, stdout engineStream) {
		w := frame.NewWriter(stdout, received.Secret)
		_ = w.Write(frame.Report{Kind: frame.Started})
		_ = w.Write(frame.Report{Kind: frame.Stdout, Body: []byte("partial output")})
		_, _ = frame.ReadControl(stdout)
		for _, name := range []string{"/workspace/out/a", "/workspace/out/b"} {
			_ = w.Write(frame.Report{Kind: frame.FileStart, Mode: 0o644, Body: []byte(name)})
			_ = w.Write(frame.Report{Kind: frame.FileContent, Body: []byte("content")})
		}
	})
	require.NoError(t, err)
	require.Equal(t, sandbox.Stopped, out.EndReason)
	require.Equal(t, "partial output", string(out.Stdout))
	require.Equal(t, map[string]string{"a": "content"}, contents(t, out))
	require.Equal(t, 1, out.OmittedFileCount)
}

// A job that is stopped before its agent runs leaves nothing, and is not an outcome.
func TestStopBeforeStart(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(sandbox.ErrStop)
	_, err := newDriver(t, Config{}).Run(ctx, probe("exit", "0"))
	require.ErrorIs(t, err, sandbox.ErrStop)
}

// While a job hands over what its agent left, its time is over, and it may have its result: neither ends that. A
// cancellation does.
func TestStopWhileFilesArrive(t *testing.T) {
	for cause, want := range map[error]bool{errJobTimeout: false, errSettled: false, sandbox.ErrStop: true} {
		t.Run(cause.Error(), func(t *testing.T) {
			var s stopper
			s.init(func(error) {})
			defer s.close()
			s.agentStarted(normalizedJob(t, probe("exit", "0")))
			s.snapshotBegan()
			s.stop(cause)
			select {
			case <-s.stopping:
				require.True(t, want)
			default:
				require.False(t, want)
			}
		})
	}
}

// firstLineIsResult is a Keeper for which anything that is printed is a result.
type firstLineIsResult struct{ printed []byte }

func (k *firstLineIsResult) Keep(part []byte)     { k.printed = append(k.printed, part...) }
func (k *firstLineIsResult) Settled() bool        { return len(k.printed) > 0 }
func (k *firstLineIsResult) Kept() ([]byte, bool) { return k.printed, false }

// busyEgress is busy until it has been asked some times.
type busyEgress struct {
	noEgress
	asked *atomic.Int64
}

func (b busyEgress) Busy() bool { return b.asked.Add(1) < 3 }

func TestSettledAgentIsEnded(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("sleep", "1h")
	job.Keep, job.SettleTime = &firstLineIsResult{}, 200*time.Millisecond
	var asked atomic.Int64
	job.Egress = busyEgress{asked: &asked}
	out := run(t, d, job)
	require.Equal(t, sandbox.Settled, out.EndReason)
	require.Equal(t, "sleeping\n", string(out.Stdout))
	require.EqualValues(t, 3, asked.Load(), "an agent that waits for its model is not ended")
}

// The dots of the agent come more often than the settle time, so only its own end ends it.
func TestPrintingAgentIsNotSettled(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("print-dots", "100ms", "40")
	job.Keep, job.SettleTime = &firstLineIsResult{}, 2*time.Second
	out := run(t, d, job)
	require.Equal(t, sandbox.Exited, out.EndReason)
}

// waitingEgress has waited for a part of the time since it was opened.
type waitingEgress struct {
	noEgress
	opened time.Time
	limit  time.Duration
}

func (e waitingEgress) Waited() time.Duration { return min(time.Since(e.opened), e.limit) }
func (waitingEgress) MaxWait() time.Duration  { return time.Hour }

// The time in which the egress waits moves the end of a job's time, and no further.
func TestWaitOfEgressIsNotTimeOfJob(t *testing.T) {
	d := newDriver(t, Config{})
	const timeout = time.Second
	for name, c := range map[string]struct {
		limit time.Duration
		want  sandbox.EndReason
	}{
		"waits for a short time": {2 * time.Second, sandbox.TimedOut},
		"waits longer":           {time.Hour, sandbox.Exited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := probe("print-dots", "100ms", "50")
			job.Timeout, job.Egress = timeout, waitingEgress{opened: time.Now(), limit: c.limit}
			out := run(t, d, job)
			require.Equal(t, c.want, out.EndReason)
			if c.want == sandbox.TimedOut {
				require.Greater(t, out.Wall, 2*time.Second)
				require.Less(t, out.Wall, 5*time.Second)
			}
		})
	}
}

// A job that prints nothing while its egress waits is not idle.
func TestWaitOfEgressIsNotIdleTime(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("sleep", "1h")
	job.IdleTimeout, job.Egress = time.Second, waitingEgress{opened: time.Now(), limit: 4 * time.Second}
	out := run(t, d, job)
	require.Equal(t, sandbox.NoOutput, out.EndReason)
	require.Greater(t, out.Wall, 3*time.Second)
}
