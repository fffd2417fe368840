package bench

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
)

// offlineImage is the image of the offline runtime.
const offlineImage = "airlock/sandbox-offline:dev"

// newDriver returns a driver of the host's Engine. Its warm pool has warm containers.
func newDriver(b *testing.B, warm int) *docker.Driver {
	b.Helper()
	dir, err := os.MkdirTemp("/tmp", "airlock-") // the path of a socket must be short
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
	d, err := docker.New(docker.Config{
		Executor: "bench", SocketDir: dir, WarmPools: []docker.WarmPool{{Job: sandbox.Job{Image: offlineImage}, MinIdle: warm}}, WarmMaxExtra: warm,
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.Close(context.Background())) })
	return d
}

// dockerRun measures `docker run` of the same agent.
func dockerRun(b *testing.B) time.Duration {
	b.Helper()
	began := time.Now()
	cmd := exec.CommandContext(b.Context(), "docker", "run", "--rm", "--interactive", "--network", "none", "--entrypoint", "/agent-offline", offlineImage,
		"--print", "--verbose", "--output-format", "stream-json")
	cmd.Stdin = strings.NewReader("one two three\n")
	out, err := cmd.CombinedOutput()
	require.NoError(b, err, "%s", out)
	return time.Since(began)
}

// BenchmarkWarm measures a run in a warm container, from the POST to the response of
// the long poll, in turns with `docker run --rm` of the same agent.
func BenchmarkWarm(b *testing.B) {
	p := newBenchEnv(b)
	d := newDriver(b, 2)
	p.runInBackground(d.RunWarmPool)
	p.startExecutor(d, 2, offlineRegistry(offlineImage))
	var airlockTimes, dockerTimes []time.Duration
	for b.Loop() {
		dockerTimes = append(dockerTimes, dockerRun(b)) // meanwhile the warm pool is filled again
		began := time.Now()
		id, err := p.submitRun(b.Context())
		require.NoError(b, err)
		status, err := p.awaitStatus(b.Context(), id)
		require.NoError(b, err)
		require.Equal(b, "succeeded", status)
		airlockTimes = append(airlockTimes, time.Since(began))
	}
	b.ReportMetric(milliseconds(median(airlockTimes)), "p50-ms")
	b.ReportMetric(milliseconds(median(dockerTimes)), "docker-run-p50-ms")
	b.ReportMetric(float64(median(dockerTimes))/float64(median(airlockTimes)), "ratio")
}

// awaitWarm waits until exactly n containers exist and all of them run, so that
// each measurement starts in the same state.
func awaitWarm(b *testing.B, n int) {
	b.Helper()
	require.EventuallyWithT(b, func(c *assert.CollectT) {
		for _, which := range []string{"--all", "--filter=status=running"} {
			out, err := exec.CommandContext(b.Context(), "docker", "ps", "--quiet", which, "--filter=label=airlock.executor=bench").Output()
			require.NoError(c, err)
			require.Len(c, strings.Fields(string(out)), n)
		}
	}, 10*time.Minute, 100*time.Millisecond)
}

// BenchmarkContainers compares the rate of the whole pipeline with the rate of the
// sandbox's driver alone, in turns and with the same number of parallel jobs.
func BenchmarkContainers(b *testing.B) {
	const parallel, batch = 4, 80
	p := newBenchEnv(b)
	d := newDriver(b, parallel)
	p.runInBackground(d.RunWarmPool)
	runtimes := offlineRegistry(offlineImage)
	e := execution.New(execution.Spec{
		Tenant: tenant, Kind: execution.KindRun, Task: execution.Task{Runtime: "offline", Input: "one two three"}, Limits: execution.Limits{Timeout: time.Minute},
	}, time.Now())
	runAlone := func() error {
		run, failure := runtimes.Prepare(context.Background(), &e)
		require.Nil(b, failure)
		o, err := d.Run(b.Context(), run.Job)
		if err == nil {
			require.Equal(b, sandbox.Exited, o.EndReason)
			err = o.Close()
		}
		return err
	}
	var driver, pipeline []time.Duration
	for b.Loop() {
		awaitWarm(b, parallel)
		began := time.Now()
		runParallel(b, batch, parallel, runAlone)
		driver = append(driver, time.Since(began))

		awaitWarm(b, parallel)
		stop := p.startExecutor(d, parallel, runtimes)
		before, _ := p.finished.load()
		began = time.Now()
		runParallel(b, batch, clients, func() error { _, err := p.submitRun(b.Context()); return err })
		p.awaitFinished(before + batch)
		pipeline = append(pipeline, time.Since(began))
		stop()
	}
	b.ReportMetric(batch/median(driver).Seconds(), "driver/s")
	b.ReportMetric(batch/median(pipeline).Seconds(), "pipeline/s")
	b.ReportMetric(float64(median(driver))/float64(median(pipeline)), "ratio")
}
