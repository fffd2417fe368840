package bench

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
)

const probeImage = "airlock/sandbox-probe:dev"

// BenchmarkFlood compares the acceptance of a run beside a job that floods the gateway with its acceptance beside a job
// that only uses its CPU, in turns. The gateway is in this process, as in airlock dev.
func BenchmarkFlood(b *testing.B) {
	const turns, posts = 5, 40
	p := newBenchEnv(b)
	d := newDriver(b, 0)
	g, err := gateway.New(gateway.Config{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, APIKey: "unused"})
	require.NoError(b, err)
	b.Cleanup(g.Close)
	var beside [2][]time.Duration // the CPU, the flood
	for b.Loop() {
		for turn := range 2 * turns {
			i := turn % 2
			stop := startProbe(b, d, g, []string{"spin", "flood-egress"}[i])
			for range posts {
				began := time.Now()
				_, err := p.submitRun(b.Context())
				require.NoError(b, err)
				beside[i] = append(beside[i], time.Since(began))
			}
			stop()
		}
	}
	cpu, flood := median(beside[0]), median(beside[1])
	b.ReportMetric(milliseconds(cpu), "cpu-p50-ms")
	b.ReportMetric(milliseconds(flood), "flood-p50-ms")
	b.ReportMetric(float64(flood)/float64(cpu), "ratio")
}

// startProbe runs a mode of the probe that goes on until stop is called.
func startProbe(b *testing.B, d *docker.Driver, g *gateway.Gateway, mode string) (stop func()) {
	b.Helper()
	begun := make(chan struct{})
	job := sandbox.Job{
		Execution: "bench", Image: probeImage, Argv: []string{"/probe", mode}, Timeout: time.Hour,
		OnStdout: func([]byte) { close(begun) }, // the probe prints one line
	}
	job.Egress = g.OpenEndpoint(b.Context(), "bench", gateway.Policy{
		Routes: []gateway.Route{{Method: http.MethodHead, Target: "/", Local: true}},
	})
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		_, err := d.Run(ctx, job)
		require.ErrorIs(b, err, context.Canceled)
	})
	<-begun
	return func() {
		cancel()
		running.Wait()
	}
}
