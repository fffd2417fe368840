package docker

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestExitCodes(t *testing.T) {
	d := newDriver(t, Options{})
	for _, args := range [][]string{{"exit", "0"}, {"exit", "3"}, {"exit", "255"}} {
		out := run(t, d, probe(args...))
		require.Equal(t, sandbox.Exited, out.EndReason)
		require.Equal(t, args[1], itoa(out.ExitCode))
	}
	out := run(t, d, probe("kill-self", "9"))
	require.Equal(t, sandbox.Exited, out.EndReason, "killed, but not for memory")
	require.Equal(t, 137, out.ExitCode)
}

func TestOutcomeHoldsUsage(t *testing.T) {
	d := newDriver(t, Options{})
	out := run(t, d, probe("allocate", "100"))

	require.Equal(t, "held 100\n", string(out.Stdout))
	require.Greater(t, out.PeakMemory, int64(100<<20))
	require.Less(t, out.PeakMemory, int64(256<<20))
	require.Positive(t, out.CPUTime)
	require.Positive(t, out.AgentStarted)
	require.Positive(t, out.Wall)
}

func TestTimeout(t *testing.T) {
	for _, mode := range []string{"sleep", "stubborn", "orphan-and-wait"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, Options{})
			job := probe(mode, "1h")
			job.Timeout = time.Second
			began := time.Now()
			out := run(t, d, job)

			require.Equal(t, sandbox.TimedOut, out.EndReason)
			require.Equal(t, 137, out.ExitCode)
			require.NotEmpty(t, out.Stdout, "what it printed before")
			require.GreaterOrEqual(t, out.Wall, job.Timeout)
			require.Less(t, time.Since(began), 10*time.Second)
			require.Empty(t, containers(t, d), "gone when Run returns")
			require.Empty(t, socketDirs(t, d))
		})
	}
}

// The executor's deadline does not need init: here the whole container is frozen.
func TestTimeoutPausedContainer(t *testing.T) {
	d := newDriver(t, Options{})
	m := newGate()
	job := m.job()
	job.Timeout = 2 * time.Second
	result := make(chan sandbox.Outcome, 1)
	var group errgroup.Group
	group.Go(func() error {
		out, err := d.Run(t.Context(), job)
		result <- out
		return err
	})
	<-m.reached
	require.NoError(t, d.api.ContainerPause(t.Context(), containers(t, d)[0].ID))
	require.NoError(t, group.Wait())

	require.Equal(t, sandbox.TimedOut, (<-result).EndReason)
	require.Empty(t, containers(t, d))
}

func TestCancel(t *testing.T) {
	d := newDriver(t, Options{})
	m := newGate()
	ctx, cancel := context.WithCancelCause(t.Context())
	var group errgroup.Group
	group.Go(func() error {
		_, err := d.Run(ctx, m.job())
		return err
	})
	<-m.reached
	changedMind := errors.New("the client changed its mind")
	began := time.Now()
	cancel(changedMind)

	require.ErrorIs(t, group.Wait(), changedMind)
	require.Less(t, time.Since(began), 2*time.Second)
	<-m.requestDone // the gateway let go as well
	require.Empty(t, containers(t, d))
	require.Empty(t, socketDirs(t, d))
}

func TestCancelBeforeStart(t *testing.T) {
	d := newDriver(t, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("too late")
	cancel(cause)
	_, err := d.Run(ctx, probe("exit", "0"))

	require.ErrorIs(t, err, cause)
	require.NoError(t, d.Ping(t.Context()))
	d.background.Wait()
	require.Empty(t, containers(t, d))
}

func TestJobEndsDespiteOrphans(t *testing.T) {
	d := newDriver(t, Options{})
	began := time.Now()
	out := run(t, d, probe("orphan", "stubborn"))

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Zero(t, out.ExitCode)
	require.Less(t, time.Since(began), 10*time.Second)
}

// More children than there may be processes: they fit only because init, to
// which they fall, reaps them.
func TestInitReapsOrphans(t *testing.T) {
	d := newDriver(t, Options{})
	job := probe("beget-orphans", "100")
	job.Limits.PIDs = 60
	out := run(t, d, job)

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Zero(t, out.ExitCode, "%s", out.Stderr)
}

func TestForkBombIsContained(t *testing.T) {
	d := newDriver(t, Options{})
	out := run(t, d, probe("fork-bomb"))

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Contains(t, string(out.Stdout), "resource temporarily unavailable")
}

func TestConcurrentJobsCleanUp(t *testing.T) {
	d := newDriver(t, Options{})
	var group errgroup.Group
	for i := range 10 {
		group.Go(func() error {
			job := probe("post", sandbox.EgressURL)
			job.Stdin = []byte{byte(i)}
			job.Egress = newGateway(echoBody)
			out, err := d.Run(t.Context(), job)
			if err == nil && (len(out.Stdout) != 1 || out.Stdout[0] != byte(i)) {
				return errors.New("answer of another job")
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	d.background.Wait()
	require.Empty(t, containers(t, d))
	require.Empty(t, socketDirs(t, d))
}

// folders lists what a driver has in its socket folder.
func socketDirs(t *testing.T, d *Driver) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(d.instance.path())
	require.NoError(t, err)
	return entries
}
