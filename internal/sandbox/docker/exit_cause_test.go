package docker

import (
	"context"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// runUntilEnded starts a job, ends its container with end while the agent runs, and returns what Run returned.
func runUntilEnded(t *testing.T, d *Driver, end func(ctx context.Context, c container.InspectResponse) error) (sandbox.Outcome, error) {
	t.Helper()
	g := newGate()
	type result struct {
		out sandbox.Outcome
		err error
	}
	results := make(chan result, 1)
	go func() {
		out, err := d.Run(t.Context(), g.job())
		results <- result{out, err}
	}()
	<-g.reached
	c, err := d.api.ContainerInspect(t.Context(), containers(t, d)[0].ID)
	require.NoError(t, err)
	require.NoError(t, end(t.Context(), c))
	r := <-results
	return r.out, r.err
}

// A sandbox that the Engine ended, or that was removed, is lost: the job may run again.
func TestSandboxEndedByEngineIsLost(t *testing.T) {
	noWait := 0
	for name, end := range map[string]func(*Driver) func(context.Context, container.InspectResponse) error{
		"kill": func(d *Driver) func(context.Context, container.InspectResponse) error {
			return func(ctx context.Context, c container.InspectResponse) error {
				return d.api.ContainerKill(ctx, c.ID, "KILL")
			}
		},
		"stop": func(d *Driver) func(context.Context, container.InspectResponse) error {
			return func(ctx context.Context, c container.InspectResponse) error {
				return d.api.ContainerStop(ctx, c.ID, container.StopOptions{Timeout: &noWait})
			}
		},
		"restart": func(d *Driver) func(context.Context, container.InspectResponse) error {
			return func(ctx context.Context, c container.InspectResponse) error {
				return d.api.ContainerRestart(ctx, c.ID, container.StopOptions{Timeout: &noWait})
			}
		},
		"remove": func(d *Driver) func(context.Context, container.InspectResponse) error {
			return func(ctx context.Context, c container.InspectResponse) error {
				return d.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, Config{})
			_, err := runUntilEnded(t, d, end(d))
			require.ErrorIs(t, err, ErrLost)
		})
	}
}

// Nobody asked the Engine to end this container. What the kernel counted meanwhile decides.
func TestUnexplainedKillOfInit(t *testing.T) {
	killInit := func(_ context.Context, c container.InspectResponse) error {
		return syscall.Kill(c.State.Pid, syscall.SIGKILL)
	}
	for name, c := range map[string]struct {
		oomKills []int64 // of the host: before the job, and after the kill
		want     sandbox.EndReason
	}{
		"no out-of-memory kill on the host": {[]int64{7, 7}, sandbox.Tampered},
		"an out-of-memory kill":             {[]int64{7, 8}, sandbox.OutOfMemory},
		"unknown":                           {[]int64{-1, -1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, Config{})
			counts := make(chan int64, len(c.oomKills))
			for _, n := range c.oomKills {
				counts <- n
			}
			d.hostOOMKills = func() int64 { return <-counts }
			out, err := runUntilEnded(t, d, killInit)
			if c.want == "" {
				require.ErrorIs(t, err, ErrLost)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, out.EndReason)
			require.Equal(t, sandbox.SIGKILLExitCode, out.ExitCode)
		})
	}
}

// An init whose executor is no longer connected ends by itself. That is not the job's doing.
func TestInitThatEndsByItselfIsLost(t *testing.T) {
	d := newDriver(t, Config{})
	r := &jobRun{driver: d, reported: true}
	c, err := d.prepare(t.Context(), probeSpec, "")
	require.NoError(t, err)
	r.container = c
	c.stream.Close() // and so init's input, without a job
	exited, errs := d.api.ContainerWait(t.Context(), c.id, container.WaitConditionNotRunning)
	select {
	case exit := <-exited:
		cause, err := r.findExitCause(t.Context(), int(exit.StatusCode))
		require.NoError(t, err)
		require.Equal(t, causeUnknown, cause)
	case err := <-errs:
		require.NoError(t, err)
	}
	<-d.discard(t.Context(), c)
}

// An Engine that has restarted does not know why a container ended.
func TestExitWithoutEventIsUnknown(t *testing.T) {
	d := newDriver(t, Config{})
	require.NoError(t, d.Ping(t.Context()))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errNoExitEvent)
	_, err := d.killedByEngine(ctx, "0123456789abcdef")
	require.ErrorIs(t, err, ErrLost)
}

func TestHostCountsOOMKills(t *testing.T) {
	require.GreaterOrEqual(t, readHostOOMKills(), int64(0))
}
