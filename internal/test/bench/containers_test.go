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

// image is that of the offline runtime, which the benchmarks with containers use.
const offlineImage = "airlock/sandbox-offline:dev"

// driver makes containers, of which so many wait for a job.
func newDriver(b *testing.B, warm int) *docker.Driver {
	b.Helper()
	dir, err := os.MkdirTemp("/tmp", "airlock-") // a socket's path is short
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
	d, err := docker.New(docker.Options{
		Executor: "bench", SocketDir: dir, WarmPools: []docker.WarmPool{{Image: offlineImage, MinIdle: warm}}, WarmMaxExtra: warm,
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.Close(context.Background())) })
	return d
}

// dockerRun is the same agent as a person would run it.
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

// BenchmarkWarm alternates a run from POST to the long poll's answer, in a
// container that waited for it, with `docker run --rm` of the same agent.
func BenchmarkWarm(b *testing.B) {
	p := newBenchEnv(b)
	d := newDriver(b, 2)
	p.runInBackground(d.RunWarmPool)
	p.startExecutor(d, 2, offlineRegistry(offlineImage))
	var ours, theirs []time.Duration
	for b.Loop() {
		theirs = append(theirs, dockerRun(b)) // meanwhile the pool fills up again
		began := time.Now()
		id, err := p.submitRun(b.Context())
		require.NoError(b, err)
		status, err := p.waitForStatus(b.Context(), id)
		require.NoError(b, err)
		require.Equal(b, "succeeded", status)
		ours = append(ours, time.Since(began))
	}
	b.ReportMetric(milliseconds(median(ours)), "p50-ms")
	b.ReportMetric(milliseconds(median(theirs)), "docker-run-p50-ms")
	b.ReportMetric(float64(median(theirs))/float64(median(ours)), "ratio")
}

// awaitWarm waits until so many containers, and no others, are there and run, so
// that whoever is measured next finds what the one before it found.
func awaitWarm(b *testing.B, n int) {
	b.Helper()
	require.EventuallyWithT(b, func(c *assert.CollectT) {
		for _, which := range []string{"--all", "--filter=status=running"} {
			out, err := exec.CommandContext(b.Context(), "docker", "ps", "--quiet", which, "--filter=label=airlock.executor=bench").Output()
			require.NoError(c, err)
			require.Len(c, strings.Fields(string(out)), n)
		}
	}, time.Minute, 100*time.Millisecond)
}

// BenchmarkContainers compares, in turns, the rate of the whole pipeline with
// that of the sandbox's driver alone, at the same parallelism.
func BenchmarkContainers(b *testing.B) {
	const parallel, batch = 4, 80
	p := newBenchEnv(b)
	d := newDriver(b, parallel)
	p.runInBackground(d.RunWarmPool)
	runtimes := offlineRegistry(offlineImage)
	e := execution.New(tenant, execution.KindRun, execution.Task{Runtime: "offline", Input: "one two three"}, execution.Limits{Timeout: time.Minute}, time.Now())
	alone := func() error {
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
		runParallel(b, batch, parallel, alone)
		driver = append(driver, time.Since(began))

		awaitWarm(b, parallel)
		stop := p.startExecutor(d, parallel, runtimes)
		before, began := p.finished.Load(), time.Now()
		runParallel(b, batch, clients, func() error { _, err := p.submitRun(b.Context()); return err })
		p.awaitFinished(before, batch)
		pipeline = append(pipeline, time.Since(began))
		stop()
	}
	b.ReportMetric(batch/median(driver).Seconds(), "driver/s")
	b.ReportMetric(batch/median(pipeline).Seconds(), "pipeline/s")
	b.ReportMetric(float64(median(driver))/float64(median(pipeline)), "ratio")
}
