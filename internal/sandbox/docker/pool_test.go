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
	d := newDriver(t, Options{Warm: []Warm{{Image: probeImage, Count: n}}})
	d.lookAfterPool(t.Context(), time.Now())
	d.working.Wait()
	require.Len(t, containers(t, d), n)
	return d
}

func TestWarmContainerIsUsedOnce(t *testing.T) {
	d := warmDriver(t, 1)
	first := containers(t, d)[0].ID
	out := run(t, d, probe("write", "/workspace/trace", "x"))
	require.Zero(t, out.ExitCode)
	t.Logf("agent started after %s", out.AgentStarted)
	d.working.Wait() // the next one is there, the first is gone

	list := containers(t, d)
	require.Len(t, list, 1)
	require.NotEqual(t, first, list[0].ID)
	require.Equal(t, "absent", string(run(t, d, probe("read", "/workspace/trace")).Stdout))
}

func TestWarmContainerHasItsEgressOnlyWithTheJob(t *testing.T) {
	d := warmDriver(t, 1)
	job := probe("post", sandbox.EgressURL)
	job.Stdin = []byte("hello")
	job.Egress = newGateway(echoBody)
	require.Equal(t, "hello", string(run(t, d, job).Stdout))

	out := run(t, d, probe("dial", "tcp", sandbox.EgressAddr, "unix", sandbox.EgressSocket))
	require.NotContains(t, string(out.Stdout), "connected")
}

func TestDeadWarmContainerIsNotUsed(t *testing.T) {
	d := warmDriver(t, 2)
	for _, c := range containers(t, d) {
		require.NoError(t, d.api.ContainerKill(t.Context(), c.ID, "KILL"))
		exits, _ := d.api.ContainerWait(t.Context(), c.ID, container.WaitConditionNotRunning)
		<-exits
	}
	require.Equal(t, sandbox.Exited, run(t, d, probe("exit", "0")).Ended)
	d.working.Wait()
	require.Len(t, containers(t, d), 2, "and both were replaced")
}

func TestJobWithOtherLimitsStartsItsOwn(t *testing.T) {
	d := warmDriver(t, 1)
	waiting := containers(t, d)[0].ID
	job := probe("exit", "0")
	job.Limits.Memory = 128 << 20
	run(t, d, job)
	d.working.Wait()

	list := containers(t, d)
	require.Len(t, list, 1)
	require.Equal(t, waiting, list[0].ID)
}

// Limits that nobody configured are kept warm for as long as jobs have them.
func TestDemandIsMetAndForgotten(t *testing.T) {
	d := newDriver(t, Options{WarmMost: 2})
	job := probe("exit", "0")
	job.Limits.Memory = 128 << 20
	require.False(t, run(t, d, job).Record.Warm)
	d.working.Wait()
	require.Len(t, containers(t, d), 1)
	require.True(t, run(t, d, job).Record.Warm)
	d.working.Wait()
	require.Len(t, containers(t, d), 2, "two jobs came within the window")

	d.lookAfterPool(t.Context(), time.Now().Add(demandWindow+time.Second))
	d.working.Wait()
	require.Empty(t, containers(t, d))
}

func TestOldContainersAreThrownAway(t *testing.T) {
	d := warmDriver(t, 1)
	old := containers(t, d)[0].ID
	d.lookAfterPool(t.Context(), time.Now().Add(defaultWarmAge+time.Second))
	d.working.Wait()
	list := containers(t, d)
	require.Len(t, list, 1)
	require.NotEqual(t, old, list[0].ID)
}

func TestKeepWarmDrainsAtItsEnd(t *testing.T) {
	d := newDriver(t, Options{Warm: []Warm{{Image: probeImage, Count: 2}}})
	require.NoError(t, d.Ping(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	var keeping errgroup.Group
	keeping.Go(func() error { return d.KeepWarm(ctx) })
	require.Eventually(t, func() bool { return len(containers(t, d)) == 2 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, keeping.Wait())
	d.working.Wait()
	require.Empty(t, containers(t, d))

	require.Equal(t, sandbox.Exited, run(t, d, probe("exit", "0")).Ended, "what still runs may end")
	d.working.Wait()
	require.Empty(t, containers(t, d), "and starts nothing for later")
}

func TestImageThatIsNotThereIsTriedLessAndLess(t *testing.T) {
	d := newDriver(t, Options{Warm: []Warm{{Image: "airlock/no-such-image:dev", Count: 1}}})
	now := time.Now()
	d.lookAfterPool(t.Context(), now)
	d.working.Wait()
	s := shapeOf("airlock/no-such-image:dev", sandbox.DefaultLimits)
	require.Zero(t, d.pool.reserve(s, time.Now()))
	require.Equal(t, 1, d.pool.reserve(s, time.Now().Add(firstPause)))
	require.Nil(t, d.pool.arrived(s, nil, now))
	require.Zero(t, d.pool.reserve(s, now.Add(firstPause)), "the second pause is longer")
}
