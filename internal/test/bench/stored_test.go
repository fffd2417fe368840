package bench

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// BenchmarkStored compares the CPU time of the whole machine for an execution whose transcript and workspace are stored
// with that for one without them, in turns. Each has a container, and a job that does almost nothing.
func BenchmarkStored(b *testing.B) {
	const turns, measured, parallel = 5, 20, 2
	p := newBenchEnv(b)
	d := newDriver(b, parallel)
	p.runInBackground(d.RunWarmPool)
	runtimes := offlineRegistry(offlineImage)
	p.compareStored(turns, func(change func(*executor.Config)) time.Duration {
		awaitWarm(b, parallel)
		used := machineCPU(b)
		stop := p.startExecutor(d, parallel, runtimes, change)
		before, _ := p.finished.load()
		runParallel(b, measured, parallel, func() error { _, err := p.submitRun(b.Context()); return err })
		p.awaitFinished(before + measured)
		awaitWarm(b, parallel) // both ways pay for as many containers
		took := machineCPU(b) - used
		stop()
		return took / measured
	})
}

// BenchmarkStoredAlone is BenchmarkStored without containers: of the CPU time of this process. Acceptance is not
// measured.
func BenchmarkStoredAlone(b *testing.B) {
	const turns, measured = 5, 2000
	p := newBenchEnv(b)
	p.compareStored(turns, func(change func(*executor.Config)) time.Duration {
		runParallel(b, measured, clients, func() error { _, err := p.submitRun(b.Context()); return err })
		before, _ := p.finished.load()
		used := cpuTime(b)
		stop := p.startExecutor(idleJobs{}, slots, offlineRegistry(""), change)
		p.awaitFinished(before + measured)
		took := cpuTime(b) - used
		stop()
		return took / measured
	})
}

// compareStored reports what an execution costs without and with a stored transcript and workspace.
func (p *benchEnv) compareStored(turns int, cost func(change func(*executor.Config)) time.Duration) {
	b := p.b.(*testing.B)
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

// machineCPU returns the CPU time that all programs of this machine have used.
func machineCPU(b *testing.B) time.Duration {
	b.Helper()
	fs, err := procfs.NewDefaultFS()
	require.NoError(b, err)
	stat, err := fs.Stat()
	require.NoError(b, err)
	all := stat.CPUTotal
	return time.Duration((all.User + all.Nice + all.System + all.IRQ + all.SoftIRQ) * float64(time.Second))
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
