package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/store"
)

const (
	clients = 32
	slots   = 32
)

// BenchmarkAccept measures the acceptance of runs over HTTP. Each run is stored and its notification published.
func BenchmarkAccept(b *testing.B) {
	p := newBenchEnv(b)
	before := cpuTime(b)
	b.ResetTimer()
	runParallel(b, b.N, clients, func() error { _, err := p.submitRun(b.Context()); return err })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	b.ReportMetric(milliseconds(cpuTime(b)-before)/float64(b.N), "cpu-ms")
}

// BenchmarkPipeline measures executions from the POST to the stored result, with a
// sandbox that does nothing.
func BenchmarkPipeline(b *testing.B) {
	p := newBenchEnv(b)
	p.startExecutor(noopSandbox{}, slots, offlineRegistry(""))
	before := cpuTime(b)
	b.ResetTimer()
	runParallel(b, b.N, clients, func() error { _, err := p.submitRun(b.Context()); return err })
	p.awaitFinished(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "executions/s")
	b.ReportMetric(milliseconds(cpuTime(b)-before)/float64(b.N), "cpu-ms")
}

// BenchmarkBacklog compares the CPU time of an execution while 100,000 others wait
// with the CPU time while 1,000 others wait.
func BenchmarkBacklog(b *testing.B) {
	const few, many, measured = 1000, 100_000, 5000
	p := newBenchEnv(b)
	cost := func(waiting int) time.Duration {
		runParallel(b, waiting+measured, clients, func() error {
			ch, err := p.store.SubmitRun(b.Context(), store.RunRequest{Tenant: tenant, AgentID: p.agent.ID, Input: "one two three"})
			if err != nil {
				return err
			}
			return p.queue.Publish(b.Context(), ch)
		})
		p.awaitIdle() // until the emulators have sorted the new data on disk, which is not measured
		before, _ := p.finished.load()
		used := cpuTime(b)
		stop := p.startExecutor(noopSandbox{}, slots, offlineRegistry(""))
		p.awaitFinished(before + measured)
		took := cpuTime(b) - used
		stop()
		return took / measured
	}
	for b.Loop() {
		small := cost(few)
		large := cost(many)
		b.ReportMetric(milliseconds(small), "cpu-ms-1k")
		b.ReportMetric(milliseconds(large), "cpu-ms-100k")
		b.ReportMetric(float64(large)/float64(small), "ratio")
	}
}

// BenchmarkIdle measures the latency of a run on an idle executor, from the POST to
// the response of the long poll, with a sandbox that does nothing.
func BenchmarkIdle(b *testing.B) {
	p := newBenchEnv(b)
	p.startExecutor(noopSandbox{}, 2, offlineRegistry(""))
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		id, err := p.submitRun(b.Context())
		require.NoError(b, err)
		status, err := p.awaitStatus(b.Context(), id)
		require.NoError(b, err)
		require.Equal(b, "succeeded", status)
		took = append(took, time.Since(began))
	}
	b.ReportMetric(milliseconds(median(took)), "p50-ms")
}
