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
)

// benchDriver has n containers of the probe waiting, and room for most that
// demand may add. Its log goes nowhere.
func benchDriver(b *testing.B, n, maxExtra int) *Driver {
	b.Helper()
	d, err := New(Options{SocketDir: socketDir(b), WarmPools: []WarmPool{{Image: probeImage, MinIdle: n}}, WarmMaxExtra: maxExtra})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.Close(context.Background())) })
	d.maintainPool(b.Context(), time.Now())
	d.background.Wait()
	return d
}

// dockerRun runs the probe as a person would, in a container of Docker's
// defaults, and returns what it printed.
func dockerRun(tb testing.TB, args ...string) string {
	tb.Helper()
	command := append([]string{"run", "--rm", "--entrypoint", "/probe", probeImage}, args...)
	out, err := exec.CommandContext(tb.Context(), "docker", command...).Output()
	require.NoError(tb, err)
	return string(out)
}

// agentTime is when an agent that printed it took its first steps.
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

// BenchmarkDispatch alternates a job for a warm container with `docker run
// --rm` of the same image: the time from the call to the agent's first
// instruction, and from then until the caller has the result. All p50.
func BenchmarkDispatch(b *testing.B) {
	d := benchDriver(b, 1, 0)
	var warm, cold, docker, known []time.Duration
	for b.Loop() {
		called := time.Now()
		out := run(b, d, probe("now"))
		returned := time.Now()
		require.True(b, out.Record.Warm)
		agent := parseAgentTime(b, string(out.Stdout))
		warm, known = append(warm, agent.Sub(called)), append(known, returned.Sub(agent))
		d.background.Wait()

		called = time.Now()
		// It stays a while: the command loses the output of a container that ends at once.
		docker = append(docker, parseAgentTime(b, dockerRun(b, "now", "200ms")).Sub(called))

		called = time.Now()
		job := probe("now")
		job.Limits.PIDs = 100 // of which none are warm
		cold = append(cold, parseAgentTime(b, string(run(b, d, job).Stdout)).Sub(called))
		d.background.Wait()
	}
	b.ReportMetric(ms(median(warm)), "warm-ms")
	b.ReportMetric(ms(median(cold)), "cold-ms")
	b.ReportMetric(ms(median(docker)), "docker-run-ms")
	b.ReportMetric(ms(median(docker))/ms(median(warm)), "docker-run/warm")
	b.ReportMetric(ms(median(known)), "written-to-known-ms")
}

// BenchmarkThroughput compares fresh containers per second with a loop of
// `docker run --rm`, at the same parallelism, in turns. What is counted is gone
// again: removed, and its successor started.
func BenchmarkThroughput(b *testing.B) {
	const batch = 12
	for _, parallel := range []int{2, 4} {
		b.Run(strconv.Itoa(parallel), func(b *testing.B) {
			d := benchDriver(b, parallel, parallel)
			var ours, theirs []time.Duration
			each := func(do func()) time.Duration {
				began := time.Now()
				var group errgroup.Group
				group.SetLimit(parallel)
				for range batch {
					group.Go(func() error { do(); return nil })
				}
				require.NoError(b, group.Wait())
				d.background.Wait()
				return time.Since(began)
			}
			for b.Loop() {
				ours = append(ours, each(func() { run(b, d, probe("exit", "0")) }))
				theirs = append(theirs, each(func() { dockerRun(b, "exit", "0") }))
			}
			b.ReportMetric(batch/median(ours).Seconds(), "containers/s")
			b.ReportMetric(batch/median(theirs).Seconds(), "docker-run/s")
			b.ReportMetric(median(theirs).Seconds()/median(ours).Seconds(), "ratio")
		})
	}
}

// BenchmarkIdle reports what a container costs that waits for its job: its
// control group's memory without page cache, which the kernel takes back.
func BenchmarkIdle(b *testing.B) {
	d := benchDriver(b, 3, 0)
	var most uint64
	for b.Loop() {
		for _, c := range containers(b, d) {
			most = max(most, idleMemory(b, d, c.ID))
		}
	}
	b.ReportMetric(float64(most)/1e6, "MB")
}
