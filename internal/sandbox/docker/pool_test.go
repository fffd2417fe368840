package docker

import (
	"context"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// warmDriver has n containers of the probe waiting when it returns.
func warmDriver(t *testing.T, n int) *Driver {
	t.Helper()
	d := newDriver(t, Options{WarmPools: []WarmPool{{Image: probeImage, MinIdle: n}}})
	d.maintainPool(t.Context(), time.Now())
	d.background.Wait()
	require.Len(t, containers(t, d), n)
	return d
}

func TestWarmContainerNotReused(t *testing.T) {
	d := warmDriver(t, 1)
	first := containers(t, d)[0].ID
	out := run(t, d, probe("write", "/workspace/trace", "x"))
	require.Zero(t, out.ExitCode)
	t.Logf("agent started after %s", out.AgentStarted)
	d.background.Wait() // the next one is there, the first is gone

	list := containers(t, d)
	require.Len(t, list, 1)
	require.NotEqual(t, first, list[0].ID)
	require.Equal(t, "absent", string(run(t, d, probe("read", "/workspace/trace")).Stdout))
}

func TestWarmContainerEgress(t *testing.T) {
	d := warmDriver(t, 1)
	job := probe("post", sandbox.EgressURL)
	job.Stdin = []byte("hello")
	job.Egress = newGateway(echoBody)
	require.Equal(t, "hello", string(run(t, d, job).Stdout))

	out := run(t, d, probe("dial", "tcp", sandbox.EgressAddr, "unix", sandbox.EgressSocket))
	require.NotContains(t, string(out.Stdout), "connected")
}

func TestDeadWarmContainerDiscarded(t *testing.T) {
	d := warmDriver(t, 2)
	for _, c := range containers(t, d) {
		require.NoError(t, d.api.ContainerKill(t.Context(), c.ID, "KILL"))
		exits, _ := d.api.ContainerWait(t.Context(), c.ID, container.WaitConditionNotRunning)
		<-exits
	}
	require.Equal(t, sandbox.Exited, run(t, d, probe("exit", "0")).EndReason)
	d.background.Wait()
	require.Len(t, containers(t, d), 2, "and both were replaced")
}

func TestWarmPoolLimitsMismatch(t *testing.T) {
	d := warmDriver(t, 1)
	waiting := containers(t, d)[0].ID
	job := probe("exit", "0")
	job.Limits.Memory = 128 << 20
	run(t, d, job)
	d.background.Wait()

	list := containers(t, d)
	require.Len(t, list, 1)
	require.Equal(t, waiting, list[0].ID)
}

// Limits that nobody configured are kept warm for as long as jobs have them.
func TestWarmPoolFollowsDemand(t *testing.T) {
	d := newDriver(t, Options{WarmMaxExtra: 2})
	job := probe("exit", "0")
	job.Limits.Memory = 128 << 20
	require.False(t, run(t, d, job).Record.Warm)
	d.background.Wait()
	require.Len(t, containers(t, d), 1)
	require.True(t, run(t, d, job).Record.Warm)
	d.background.Wait()
	require.Len(t, containers(t, d), 2, "two jobs came within the window")

	d.maintainPool(t.Context(), time.Now().Add(demandWindow+time.Second))
	d.background.Wait()
	require.Empty(t, containers(t, d))
}

func TestWarmPoolReplacesExpired(t *testing.T) {
	d := warmDriver(t, 1)
	old := containers(t, d)[0].ID
	d.maintainPool(t.Context(), time.Now().Add(defaultWarmMaxAge+time.Second))
	d.background.Wait()
	list := containers(t, d)
	require.Len(t, list, 1)
	require.NotEqual(t, old, list[0].ID)
}

func TestRunWarmPoolDrainsOnCancel(t *testing.T) {
	d := newDriver(t, Options{WarmPools: []WarmPool{{Image: probeImage, MinIdle: 2}}})
	require.NoError(t, d.Ping(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return d.RunWarmPool(ctx) })
	require.Eventually(t, func() bool { return len(containers(t, d)) == 2 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, group.Wait())
	d.background.Wait()
	require.Empty(t, containers(t, d))

	require.Equal(t, sandbox.Exited, run(t, d, probe("exit", "0")).EndReason, "what still runs may end")
	d.background.Wait()
	require.Empty(t, containers(t, d), "and starts nothing for later")
}

func TestWarmPoolBackoff(t *testing.T) {
	d := newDriver(t, Options{WarmPools: []WarmPool{{Image: "airlock/no-such-image:dev", MinIdle: 1}}})
	now := time.Now()
	d.maintainPool(t.Context(), now)
	d.background.Wait()
	s := newSpec("airlock/no-such-image:dev", sandbox.DefaultLimits)
	require.Zero(t, d.pool.reserve(s, time.Now()))
	require.Equal(t, 1, d.pool.reserve(s, time.Now().Add(minRetryDelay)))
	require.Nil(t, d.pool.completeStart(s, nil, now))
	require.Zero(t, d.pool.reserve(s, now.Add(minRetryDelay)), "the second pause is longer")
}
