package docker

import (
	"context"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// benchDriver returns a driver with n warm containers of the probe image, to which demand may add maxExtra. It does not
// log.
func benchDriver(b *testing.B, n, maxExtra int) *Driver {
	b.Helper()
	d, err := New(Config{SocketDir: socketDir(b), WarmPools: []WarmPool{{Job: sandbox.Job{Image: probeImage}, MinIdle: n}}, WarmMaxExtra: maxExtra})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.Close(context.Background())) })
	d.maintainPool(b.Context(), time.Now())
	d.background.Wait()
	return d
}

// dockerRun runs the probe with the docker command and its defaults, and returns the output.
func dockerRun(tb testing.TB, args ...string) string {
	tb.Helper()
	command := append([]string{"run", "--rm", "--entrypoint", "/probe", probeImage}, args...)
	out, err := exec.CommandContext(tb.Context(), "docker", command...).Output()
	require.NoError(tb, err)
	return string(out)
}

// parseAgentTime parses the start time that an agent printed.
func parseAgentTime(tb testing.TB, printed string) time.Time {
	tb.Helper()
	nanos, err := strconv.ParseInt(strings.TrimSpace(printed), 10, 64)
	require.NoError(tb, err)
	return time.Unix(0, nanos)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkDispatch alternates jobs in warm and cold containers with `docker run --rm` of the same image. It reports
// the time from the call to the agent's first instruction, and from there until the caller has the result. All values
// are medians.
func BenchmarkDispatch(b *testing.B) {
	d := benchDriver(b, 1, 0)
	var warm, cold, dockerCLI, result []time.Duration
	for b.Loop() {
		called := time.Now()
		out := run(b, d, probe("start-time"))
		returned := time.Now()
		require.True(b, out.Record.Warm)
		agent := parseAgentTime(b, string(out.Stdout))
		warm, result = append(warm, agent.Sub(called)), append(result, returned.Sub(agent))
		d.background.Wait()

		called = time.Now()
		// The agent runs for 200 ms, because the docker command loses the output of a container that ends at once.
		dockerCLI = append(dockerCLI, parseAgentTime(b, dockerRun(b, "start-time", "200ms")).Sub(called))

		called = time.Now()
		job := probe("start-time")
		job.Limits.PIDs = 100 // no warm container has this limit
		cold = append(cold, parseAgentTime(b, string(run(b, d, job).Stdout)).Sub(called))
		d.background.Wait()
	}
	b.ReportMetric(ms(median(warm)), "warm-ms")
	b.ReportMetric(ms(median(cold)), "cold-ms")
	b.ReportMetric(ms(median(dockerCLI)), "docker-run-ms")
	b.ReportMetric(ms(median(dockerCLI))/ms(median(warm)), "docker-run/warm")
	b.ReportMetric(ms(median(result)), "write-to-result-ms")
}

// BenchmarkThroughput compares new containers per second with a loop of `docker run --rm`, at the same parallelism, in
// turns. A container counts after its removal and the start of its successor. One iteration has several rounds, so that
// a short run has a median as well.
func BenchmarkThroughput(b *testing.B) {
	const batch, rounds = 24, 3
	for _, parallel := range []int{2, 4} {
		b.Run(strconv.Itoa(parallel), func(b *testing.B) {
			d := benchDriver(b, parallel, parallel)
			var driver, dockerCLI []time.Duration
			timeBatch := func(do func()) time.Duration {
				startedAt := time.Now()
				var group errgroup.Group
				group.SetLimit(parallel)
				for range batch {
					group.Go(func() error { do(); return nil })
				}
				require.NoError(b, group.Wait())
				d.background.Wait()
				return time.Since(startedAt)
			}
			for b.Loop() {
				for range rounds {
					driver = append(driver, timeBatch(func() { run(b, d, probe("exit", "0")) }))
					dockerCLI = append(dockerCLI, timeBatch(func() { dockerRun(b, "exit", "0") }))
				}
			}
			b.ReportMetric(batch/median(driver).Seconds(), "containers/s")
			b.ReportMetric(batch/median(dockerCLI).Seconds(), "docker-run/s")
			b.ReportMetric(median(dockerCLI).Seconds()/median(driver).Seconds(), "ratio")
		})
	}
}

// BenchmarkIdle reports the memory of a container that waits for its job: that of its control group without the page
// cache, which the kernel can free.
func BenchmarkIdle(b *testing.B) {
	d := benchDriver(b, 3, 0)
	var highest uint64
	for b.Loop() {
		for _, c := range containers(b, d) {
			highest = max(highest, idleMemory(b, d, c.ID))
		}
	}
	b.ReportMetric(float64(highest)/1e6, "MB")
}
