package firestore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	client "cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/firestore"
)

// The benchmarks use Google's client over loopback, with a few connections, like several processes. Client and server
// share the CPUs.
const (
	workers = 32
	dials   = 4
)

type bench struct {
	service
	clients []*client.Client
}

func startBench(b *testing.B) *bench {
	b.Helper()
	e := &bench{service: start(b, firestore.Options{Dir: b.TempDir(), Logger: zap.NewNop()})}
	for range dials {
		e.clients = append(e.clients, e.dial(b, "p"))
	}
	return e
}

// runParallel runs b.N operations on all workers and reports operations per second.
func (e *bench) runParallel(b *testing.B, do func(ctx context.Context, c *client.Client, i int) error) float64 {
	b.Helper()
	var next atomic.Int64
	g, ctx := errgroup.WithContext(b.Context())
	begin := time.Now()
	for w := range workers {
		c := e.clients[w%dials]
		g.Go(func() error {
			for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
				if err := do(ctx, c, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, g.Wait())
	rate := float64(b.N) / time.Since(begin).Seconds()
	b.ReportMetric(rate, "ops/s")
	return rate
}

var padding = strings.Repeat("x", 900)

// testDocument returns a document of about 1 KiB.
func testDocument(i int) map[string]any {
	return map[string]any{
		"status": []string{"queued", "running", "succeeded", "failed"}[i%4], "createdAt": time.UnixMicro(int64(i) * 1e3),
		"due": time.UnixMicro(int64(i) * 1e3), "attempt": i % 3, "input": padding,
	}
}

// createDocuments creates n documents in one collection group.
func (e *bench) createDocuments(b *testing.B, n int) {
	b.Helper()
	g, ctx := errgroup.WithContext(b.Context())
	g.SetLimit(8)
	for from := 0; from < n; from += 400 {
		g.Go(func() error {
			return commitWrites(ctx, e.clients[0], func(tx *client.Transaction) error {
				for i := from; i < min(n, from+400); i++ {
					if err := tx.Set(e.clients[0].Doc(fmt.Sprintf("tenants/t%d/executions/e%06d", i%2, i)), testDocument(i)); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	require.NoError(b, g.Wait())
}

// measureDiskSyncs measures sequential appends of 1 KiB with an fsync each, per second.
func measureDiskSyncs(b *testing.B, dir string) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "raw"))
	require.NoError(b, err)
	defer f.Close()
	block := make([]byte, 1024)
	n := 0
	begin := time.Now()
	for time.Since(begin) < 300*time.Millisecond {
		_, err := f.Write(block)
		require.NoError(b, err)
		require.NoError(b, f.Sync())
		n++
	}
	return float64(n) / time.Since(begin).Seconds()
}

func BenchmarkCreate(b *testing.B) {
	e := startBench(b)
	disk := measureDiskSyncs(b, b.TempDir())
	b.ResetTimer()
	rate := e.runParallel(b, func(ctx context.Context, c *client.Client, i int) error {
		_, err := c.Doc(fmt.Sprintf("tenants/t/executions/%x", rand.Uint64())).Create(ctx, testDocument(i))
		return err
	})
	b.ReportMetric(disk, "disk-syncs/s")
	b.ReportMetric(rate/disk, "ratio")
}

func BenchmarkGet(b *testing.B) {
	e := startBench(b)
	const docs = 10_000
	e.createDocuments(b, docs)
	b.ResetTimer()
	e.runParallel(b, func(ctx context.Context, c *client.Client, _ int) error {
		i := rand.IntN(docs)
		_, err := c.Doc(fmt.Sprintf("tenants/t%d/executions/e%06d", i%2, i)).Get(ctx)
		return err
	})
}

func BenchmarkTransaction(b *testing.B) {
	e := startBench(b)
	const docs = 10_000
	e.createDocuments(b, docs)
	b.ResetTimer()
	e.runParallel(b, func(ctx context.Context, c *client.Client, i int) error {
		i %= docs
		ref := c.Doc(fmt.Sprintf("tenants/t%d/executions/e%06d", i%2, i))
		return c.RunTransaction(ctx, func(_ context.Context, tx *client.Transaction) error {
			if _, err := tx.Get(ref); err != nil {
				return err
			}
			return tx.Update(ref, []client.Update{{Path: "attempt", Value: client.Increment(1)}})
		})
	})
}

func BenchmarkQueryAmong100000(b *testing.B) {
	e := startBench(b)
	e.createDocuments(b, 100_000)
	newest := func(ctx context.Context, c *client.Client) error {
		docs, err := c.Collection("tenants/t0/executions").Where("status", "==", "queued").OrderBy("createdAt", client.Desc).Limit(20).Documents(ctx).GetAll()
		if err == nil && len(docs) != 20 {
			err = fmt.Errorf("%d documents", len(docs))
		}
		return err
	}
	begin := time.Now()
	require.NoError(b, newest(b.Context(), e.clients[0]))
	first := time.Since(begin) // builds the index
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		begin := time.Now()
		require.NoError(b, newest(b.Context(), e.clients[0]))
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(first.Seconds()*1e3, "first-ms")
	all := e.clients[0].CollectionGroup("executions").Where("status", "==", "queued")
	for _, metric := range []string{"first-count-ms", "count-ms"} {
		begin := time.Now()
		_, err := all.NewAggregationQuery().WithCount("n").Get(b.Context())
		require.NoError(b, err)
		b.ReportMetric(time.Since(begin).Seconds()*1e3, metric)
	}
}

func BenchmarkListeners1000(b *testing.B) {
	e := startBench(b)
	const listeners = 1000
	e.createDocuments(b, listeners)
	snapshots := make([]chan *client.DocumentSnapshot, listeners)
	g, ctx := errgroup.WithContext(b.Context())
	ctx, cancel := context.WithCancel(ctx)
	name := func(i int) string { return fmt.Sprintf("tenants/t%d/executions/e%06d", i%2, i) }
	for i := range listeners {
		snapshots[i] = make(chan *client.DocumentSnapshot, 1)
		it := e.clients[i%dials].Doc(name(i)).Snapshots(ctx)
		g.Go(func() error {
			defer it.Stop()
			for {
				snap, err := it.Next()
				if err != nil {
					return nil // canceled, or an error that makes the benchmark wait forever for a snapshot
				}
				snapshots[i] <- snap
			}
		})
	}
	for i := range snapshots {
		<-snapshots[i]
	}
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		i := rand.IntN(listeners)
		begin := time.Now()
		_, err := e.clients[0].Doc(name(i)).Set(ctx, testDocument(rand.IntN(1e6)))
		require.NoError(b, err)
		<-snapshots[i]
		took = append(took, time.Since(begin))
	}
	cancel()
	require.NoError(b, g.Wait())
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
}

// BenchmarkRecovery100000 kills a server with 100,000 documents and measures how long the next Open takes.
func BenchmarkRecovery100000(b *testing.B) {
	dir := b.TempDir()
	c, process, kill := startServerProcess(b, dir)
	e := &bench{clients: []*client.Client{c}}
	e.createDocuments(b, 100_000)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.PID))
	require.NoError(b, err)
	kill()
	var peak float64 // KiB; zero if the system does not report it
	if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
		_, err := fmt.Sscan(after, &peak)
		require.NoError(b, err)
	}
	b.ResetTimer()
	for b.Loop() {
		s, err := firestore.Open(firestore.Options{Dir: dir})
		require.NoError(b, err)
		require.NoError(b, s.Close())
	}
	b.ReportMetric(peak/1024, "peak-MiB")
}
