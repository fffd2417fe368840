package bench

import (
	"context"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// BenchmarkStored compares the CPU time of an execution whose transcript and workspace are stored with that of one
// without them, in turns. The job does nothing. Acceptance is not measured.
func BenchmarkStored(b *testing.B) {
	const turns, measured = 5, 2000
	p := newBenchEnv(b)
	cost := func(change func(*executor.Config)) time.Duration {
		runParallel(b, measured, clients, func() error { _, err := p.submitRun(b.Context()); return err })
		before, _ := p.finished.load()
		used := cpuTime(b)
		stop := p.startExecutor(idleJobs{}, slots, offlineRegistry(""), change)
		p.awaitFinished(before + measured)
		took := cpuTime(b) - used
		stop()
		return took / measured
	}
	var without, with []time.Duration
	for b.Loop() {
		for range turns {
			without = append(without, cost(func(c *executor.Config) { c.Artifacts = noTranscripts{p.artifacts} }))
			with = append(with, cost(func(c *executor.Config) { c.MaxWorkspace = 256 << 20 }))
		}
	}
	b.ReportMetric(milliseconds(median(without)), "cpu-ms-without")
	b.ReportMetric(milliseconds(median(with)), "cpu-ms-with")
	b.ReportMetric(float64(median(with))/float64(median(without)), "ratio")
}

// noTranscripts stores no transcripts.
type noTranscripts struct{ executor.ArtifactStore }

func (noTranscripts) PutTranscriptPart(context.Context, execution.Ref, blob.TranscriptPart, []byte) error {
	return nil
}

// idleJobs is a sandbox whose jobs write their result, leave an empty workspace, and finish immediately.
type idleJobs struct{ noopSandbox }

func (s idleJobs) Run(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
	o, err := s.noopSandbox.Run(ctx, job)
	job.OnStdout(o.Stdout)
	if job.MaxSnapshot > 0 {
		o.Snapshot.State = sandbox.SnapshotEmpty
	}
	return o, err
}
