package docker

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// warmDriver returns a driver with n warm containers of the probe image.
func warmDriver(t *testing.T, n int) *Driver {
	t.Helper()
	d := newDriver(t, Config{WarmPools: []WarmPool{{Job: sandbox.Job{Image: probeImage}, MinIdle: n}}})
	d.maintainPool(t.Context(), time.Now())
	d.background.Wait()
	require.Len(t, containers(t, d), n)
	return d
}

func TestWarmContainerIsNotReused(t *testing.T) {
	d := warmDriver(t, 1)
	first := containers(t, d)[0].ID
	out := run(t, d, probe("write", "/workspace/trace", "x"))
	require.Zero(t, out.ExitCode)
	t.Logf("agent started after %s", out.AgentStarted)
	d.background.Wait() // the first container is removed and the next one is started

	list := containers(t, d)
	require.Len(t, list, 1)
	require.NotEqual(t, first, list[0].ID)
	require.Equal(t, "absent", string(run(t, d, probe("read", "/workspace/trace")).Stdout))
}

func TestWarmContainerGetsEgressWithItsJob(t *testing.T) {
	d := warmDriver(t, 1)
	job := probe("post", sandbox.EgressURL)
	job.Stdin = []byte("hello")
	job.Egress = newGateway(echoBody)
	require.Equal(t, "hello", string(run(t, d, job).Stdout))

	out := run(t, d, probe("dial", "tcp", sandbox.EgressAddr, "unix", sandbox.EgressSocket))
	require.NotContains(t, string(out.Stdout), "connected")
}

func TestDeadWarmContainerIsDiscarded(t *testing.T) {
	d := warmDriver(t, 2)
	for _, c := range containers(t, d) {
		require.NoError(t, d.api.ContainerKill(t.Context(), c.ID, "KILL"))
		exited, _ := d.api.ContainerWait(t.Context(), c.ID, container.WaitConditionNotRunning)
		<-exited
	}
	require.Equal(t, sandbox.Exited, run(t, d, probe("exit", "0")).EndReason)
	d.background.Wait()
	require.Len(t, containers(t, d), 2, "both were replaced")
}

func TestJobWithOtherLimitsGetsNewContainer(t *testing.T) {
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

// For limits without a configured pool, there are warm containers while jobs with these limits arrive.
func TestWarmPoolFollowsDemand(t *testing.T) {
	d := newDriver(t, Config{WarmMaxExtra: 2})
	job := probe("exit", "0")
	job.Limits.Memory = 128 << 20
	require.False(t, run(t, d, job).Record.Warm)
	d.background.Wait()
	require.Len(t, containers(t, d), 1)
	require.True(t, run(t, d, job).Record.Warm)
	d.background.Wait()
	require.Len(t, containers(t, d), 2, "two jobs arrived within the window")

	d.maintainPool(t.Context(), time.Now().Add(demandWindow+time.Second))
	d.background.Wait()
	require.Empty(t, containers(t, d))
}

func TestWarmPoolReplacesExpiredContainer(t *testing.T) {
	d := warmDriver(t, 1)
	old := containers(t, d)[0].ID
	d.maintainPool(t.Context(), time.Now().Add(defaultWarmMaxAge+time.Second))
	d.background.Wait()
	list := containers(t, d)
	require.Len(t, list, 1)
	require.NotEqual(t, old, list[0].ID)
}

func TestRunWarmPoolDrainsOnCancel(t *testing.T) {
	d := newDriver(t, Config{WarmPools: []WarmPool{{Job: sandbox.Job{Image: probeImage}, MinIdle: 2}}})
	require.NoError(t, d.Ping(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return d.RunWarmPool(ctx) })
	require.Eventually(t, func() bool { return len(containers(t, d)) == 2 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, group.Wait())
	d.background.Wait()
	require.Empty(t, containers(t, d))

	require.Equal(t, sandbox.Exited, run(t, d, probe("exit", "0")).EndReason, "a job after the end of the pool still runs")
	d.background.Wait()
	require.Empty(t, containers(t, d), "it starts no warm container")
}

func TestWarmPoolBacksOffForOneImage(t *testing.T) {
	missing := "airlock/no-such-image:dev"
	d := newDriver(t, Config{WarmPools: []WarmPool{{Job: sandbox.Job{Image: missing}, MinIdle: 1}, {Job: sandbox.Job{Image: probeImage}, MinIdle: 2}}})
	now := time.Now()
	d.maintainPool(t.Context(), now)
	d.background.Wait()
	require.Len(t, containers(t, d), 2, "the other image does not wait")
	spec := newSpec(missing, sandbox.DefaultLimits)
	require.Zero(t, d.pool.reserve(spec, time.Now()))
	require.Equal(t, 1, d.pool.reserve(spec, time.Now().Add(minRetryDelay)))
	d.pool.cancelStart(spec, &sandbox.StartError{Cause: sandbox.ImageMissing}, now)
	require.Zero(t, d.pool.reserve(spec, now.Add(minRetryDelay)), "the second delay is longer")
}

// While the Engine fails starts, of whatever image, the pool tries one container at a time, after a delay. It is full
// again after one start that succeeds.
func TestWarmPoolBacksOffWhileEngineFails(t *testing.T) {
	engine, host := newFaultyEngine(t)
	d := newDriver(t, Config{Host: host, WarmPools: []WarmPool{{Job: sandbox.Job{Image: probeImage}, MinIdle: 2}}})
	var creations atomic.Int64
	engine.Set(func(e faultproxy.Exchange) bool {
		if isCreate(e.Request) {
			creations.Add(1)
			e.Fail(http.StatusInternalServerError, "no space left on device")
		}
		return isCreate(e.Request)
	})
	_, err := d.Run(t.Context(), probe("exit", "0"))
	requireStartError(t, err, sandbox.EngineRefused)
	now := time.Now()
	d.maintainPool(t.Context(), now)
	d.background.Wait()
	require.EqualValues(t, 1, creations.Load(), "that of the job")

	now = now.Add(minRetryDelay + time.Second)
	d.maintainPool(t.Context(), now)
	d.background.Wait()
	require.EqualValues(t, 2, creations.Load(), "one of the two warm containers")

	engine.Set(nil)
	require.NoError(t, d.Probe(t.Context()))
	d.maintainPool(t.Context(), now)
	d.background.Wait()
	require.Len(t, containers(t, d), 2)
}

// idleMemory returns the memory of a container without the page cache, as the Engine reports it.
func idleMemory(tb testing.TB, d *Driver, id string) uint64 {
	tb.Helper()
	response, err := d.api.ContainerStatsOneShot(tb.Context(), id)
	require.NoError(tb, err)
	defer response.Body.Close()
	var stats container.StatsResponse
	require.NoError(tb, json.NewDecoder(response.Body).Decode(&stats))
	cache := stats.MemoryStats.Stats["total_inactive_file"] + stats.MemoryStats.Stats["total_active_file"]
	if cache == 0 { // control group of version 2
		cache = stats.MemoryStats.Stats["file"]
	}
	require.Greater(tb, stats.MemoryStats.Usage, cache)
	return stats.MemoryStats.Usage - cache
}

func TestWarmContainerUsesLittleMemory(t *testing.T) {
	d := warmDriver(t, 1)
	require.Less(t, idleMemory(t, d, containers(t, d)[0].ID), uint64(6_000_000))
}
