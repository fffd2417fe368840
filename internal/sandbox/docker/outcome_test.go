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

func TestExitCodeIsReported(t *testing.T) {
	d := newDriver(t, Config{})
	for _, args := range [][]string{{"exit", "0"}, {"exit", "3"}, {"exit", "255"}} {
		out := run(t, d, probe(args...))
		require.Equal(t, sandbox.Exited, out.EndReason)
		require.Equal(t, args[1], itoa(out.ExitCode))
	}
	out := run(t, d, probe("kill-self", "9"))
	require.Equal(t, sandbox.Exited, out.EndReason, "killed, but not to free memory")
	require.Equal(t, 137, out.ExitCode)
}

func TestOutcomeHasUsage(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("allocate", "100"))

	require.Equal(t, "allocated 100\n", string(out.Stdout))
	require.Greater(t, out.PeakMemory, int64(100<<20))
	require.Less(t, out.PeakMemory, int64(256<<20))
	require.Positive(t, out.CPUTime)
	require.Positive(t, out.AgentStarted)
	require.Positive(t, out.Wall)
}

func TestTimeoutKillsJob(t *testing.T) {
	for mode, wantExitCode := range map[string]int{"sleep": 143, "ignore-signals": 137, "orphan-and-ignore-signals": 137} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, Config{})
			job := probe(mode, "1h")
			job.Timeout = time.Second
			startedAt := time.Now()
			out := run(t, d, job)

			require.Equal(t, sandbox.TimedOut, out.EndReason)
			require.Equal(t, wantExitCode, out.ExitCode)
			require.NotEmpty(t, out.Stdout, "the output before the time-out")
			require.GreaterOrEqual(t, out.Wall, job.Timeout)
			require.Less(t, time.Since(startedAt), 10*time.Second)
			require.Empty(t, containers(t, d), "removed when Run returns")
			require.Empty(t, socketDirs(t, d))
		})
	}
}

// The executor's deadline works without init: here all processes of the container are paused.
func TestTimeoutKillsPausedContainer(t *testing.T) {
	d := newDriver(t, Config{})
	g := newGate()
	job := g.job()
	job.Timeout = 2 * time.Second
	result := make(chan sandbox.Outcome, 1)
	var group errgroup.Group
	group.Go(func() error {
		out, err := d.Run(t.Context(), job)
		result <- out
		return err
	})
	<-g.reached
	require.NoError(t, d.api.ContainerPause(t.Context(), containers(t, d)[0].ID))
	require.NoError(t, group.Wait())

	require.Equal(t, sandbox.TimedOut, (<-result).EndReason)
	require.Empty(t, containers(t, d))
}

func TestCancelKillsJob(t *testing.T) {
	d := newDriver(t, Config{})
	g := newGate()
	ctx, cancel := context.WithCancelCause(t.Context())
	var group errgroup.Group
	group.Go(func() error {
		_, err := d.Run(ctx, g.job())
		return err
	})
	<-g.reached
	cause := errors.New("canceled by the client")
	startedAt := time.Now()
	cancel(cause)

	require.ErrorIs(t, group.Wait(), cause)
	require.Less(t, time.Since(startedAt), 2*time.Second)
	<-g.requestDone // the gateway has ended the request
	require.Empty(t, containers(t, d))
	require.Empty(t, socketDirs(t, d))
}

func TestCancelBeforeStartLeavesNothing(t *testing.T) {
	d := newDriver(t, Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("canceled before the start")
	cancel(cause)
	_, err := d.Run(ctx, probe("exit", "0"))

	require.ErrorIs(t, err, cause)
	require.NoError(t, d.Ping(t.Context()))
	d.background.Wait()
	require.Empty(t, containers(t, d))
}

func TestJobEndsDespiteOrphans(t *testing.T) {
	d := newDriver(t, Config{})
	startedAt := time.Now()
	out := run(t, d, probe("orphan", "ignore-signals"))

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Zero(t, out.ExitCode)
	require.Less(t, time.Since(startedAt), 10*time.Second)
}

// The agent starts more child processes than the limit allows. They stay below it only because init, which becomes
// their parent, reaps them.
func TestInitReapsOrphans(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("spawn-orphans", "100")
	job.Limits.PIDs = 60
	out := run(t, d, job)

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Zero(t, out.ExitCode, "%s", out.Stderr)
}

func TestForkBombIsContained(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("fork-bomb"))

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Contains(t, string(out.Stdout), "resource temporarily unavailable")
}

func TestConcurrentJobsCleanUp(t *testing.T) {
	d := newDriver(t, Config{})
	var group errgroup.Group
	for i := range 10 {
		group.Go(func() error {
			job := probe("post", sandbox.EgressURL)
			job.Stdin = []byte{byte(i)}
			job.Egress = newGateway(echoBody)
			out, err := d.Run(t.Context(), job)
			if err == nil && (len(out.Stdout) != 1 || out.Stdout[0] != byte(i)) {
				return errors.New("the answer belongs to another job")
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	d.background.Wait()
	require.Empty(t, containers(t, d))
	require.Empty(t, socketDirs(t, d))
}

// socketDirs lists the socket folders of a driver's containers.
func socketDirs(t *testing.T, d *Driver) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(d.instance.path())
	require.NoError(t, err)
	return entries
}
