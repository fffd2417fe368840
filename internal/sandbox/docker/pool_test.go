package docker

import (
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// warmDriver has n containers of the probe waiting when it returns.
func warmDriver(t *testing.T, n int) *Driver {
	t.Helper()
	d := newDriver(t, Options{Warm: map[string]int{probeImage: n}})
	d.Warm(t.Context())
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

func TestClosedPoolKeepsNothing(t *testing.T) {
	p := newPool(map[string]int{"image": 2})
	s := shapeOf(sandbox.Job{Image: "image", Limits: sandbox.DefaultLimits})
	require.Equal(t, 2, p.reserve(s))
	require.Zero(t, p.reserve(s), "both are coming")
	early, late := &cell{name: "early"}, &cell{name: "late"}
	require.Nil(t, p.arrived(s, early))
	require.Equal(t, []*cell{early}, p.close())
	require.Equal(t, late, p.arrived(s, late))
	require.Nil(t, p.take(s))
	require.Zero(t, p.reserve(s))
}
