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

// BenchmarkAccept is how many runs are accepted over HTTP: each is durable, and announced.
func BenchmarkAccept(b *testing.B) {
	p := start(b)
	before := cpu(b)
	b.ResetTimer()
	each(b, b.N, clients, func() error { _, err := p.post(b.Context()); return err })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	b.ReportMetric(ms(cpu(b)-before)/float64(b.N), "cpu-ms")
}

// BenchmarkPipeline is how many go all the way, from POST to the stored end,
// around a sandbox that does nothing.
func BenchmarkPipeline(b *testing.B) {
	p := start(b)
	p.execute(nothing{}, slots, offline(""))
	before := cpu(b)
	b.ResetTimer()
	each(b, b.N, clients, func() error { _, err := p.post(b.Context()); return err })
	p.awaitEnded(0, int64(b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "executions/s")
	b.ReportMetric(ms(cpu(b)-before)/float64(b.N), "cpu-ms")
}

// BenchmarkBacklog compares what an execution costs, in CPU time of all parts,
// while 100,000 others wait with what it costs while 1,000 do.
func BenchmarkBacklog(b *testing.B) {
	const few, many, measured = 1000, 100_000, 5000
	p := start(b)
	cost := func(waiting int) time.Duration {
		each(b, waiting+measured, clients, func() error {
			ch, err := p.store.SubmitRun(b.Context(), store.Run{Owner: owner, AgentID: p.agent.ID, Input: "one two three"})
			if err != nil {
				return err
			}
			return p.queue.Tell(b.Context(), ch)
		})
		p.rest() // the disk owes the acceptances some order yet, which is not what is measured
		before, used := p.ended.Load(), cpu(b)
		stop := p.execute(nothing{}, slots, offline(""))
		p.awaitEnded(before, measured)
		took := cpu(b) - used
		stop()
		return took / measured
	}
	for b.Loop() {
		small := cost(few)
		large := cost(many)
		b.ReportMetric(ms(small), "cpu-ms-1k")
		b.ReportMetric(ms(large), "cpu-ms-100k")
		b.ReportMetric(float64(large)/float64(small), "ratio")
	}
}

// BenchmarkIdle is how long a client waits for a run on an executor that has
// nothing else to do, around a sandbox that does nothing: from before the POST
// until the long poll's answer.
func BenchmarkIdle(b *testing.B) {
	p := start(b)
	p.execute(nothing{}, 2, offline(""))
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		id, err := p.post(b.Context())
		require.NoError(b, err)
		status, err := p.wait(b.Context(), id)
		require.NoError(b, err)
		require.Equal(b, "succeeded", status)
		took = append(took, time.Since(began))
	}
	b.ReportMetric(ms(median(took)), "p50-ms")
}
