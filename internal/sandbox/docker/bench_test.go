package docker

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// benchmarkRun reports how long a job takes until its agent runs, and until
// its result is there, with the container's removal off the path.
func benchmarkRun(b *testing.B, opts Options, between func(*Driver)) {
	b.Helper()
	opts.SocketDir = socketDir(b)
	d, err := New(opts)
	require.NoError(b, err)
	defer func() { require.NoError(b, d.Close(context.Background())) }()
	var started time.Duration
	for b.Loop() {
		b.StopTimer()
		between(d)
		b.StartTimer()
		started += run(b, d, probe("exit", "0")).AgentStarted
	}
	b.ReportMetric(float64(started.Microseconds())/1000/float64(b.N), "ms-to-agent")
}

func BenchmarkRunCold(b *testing.B) {
	benchmarkRun(b, Options{}, func(d *Driver) { d.working.Wait() })
}

func BenchmarkRunWarm(b *testing.B) {
	benchmarkRun(b, Options{Warm: []Warm{{Image: probeImage, Count: 1}}}, func(d *Driver) {
		d.lookAfterPool(b.Context(), time.Now())
		d.working.Wait()
	})
}
