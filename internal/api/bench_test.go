package api

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// clients is the number of concurrent clients of a benchmark.
const clients = 32

// startSilent starts a server that logs nothing, and returns a client with a connection for each of clients.
func startSilent(b *testing.B) (server, *http.Client) {
	b.Helper()
	s := startServer(b)
	s.log = zap.NewNop()
	return s, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
}

// benchmarkRequests sends b.N requests from concurrent clients. It reports the requests per second, and the 99th
// percentile of their times divided by the median.
func benchmarkRequests(b *testing.B, do func() error) {
	b.Helper()
	took := make([][]time.Duration, clients)
	var remaining atomic.Int64
	remaining.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for i := range clients {
		all.Go(func() {
			for remaining.Add(-1) >= 0 {
				began := time.Now()
				if err := do(); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	times := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(times) > 0 {
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		b.ReportMetric(float64(times[len(times)*99/100])/float64(times[len(times)/2]), "p99/p50")
	}
}

// benchmarkRequest is a request and the status of its response.
type benchmarkRequest struct {
	method, url string
	body, etag  string // empty: none
	status      int
}

func (r benchmarkRequest) send(c *http.Client) error {
	req, err := http.NewRequest(r.method, r.url, strings.NewReader(r.body))
	if err != nil {
		return err
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.etag != "" {
		req.Header.Set("If-None-Match", r.etag)
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != r.status {
		return fmt.Errorf("%s returned %d", r.url, res.StatusCode)
	}
	return nil
}

// The server, the clients and the Firestore emulator share the machine.
func BenchmarkGetFinished(b *testing.B) {
	s, c := startSilent(b)
	r := benchmarkRequest{method: http.MethodGet, url: s.url + s.createCanceledExecution(), status: http.StatusOK}
	benchmarkRequests(b, func() error { return r.send(c) })
}

func BenchmarkGetNotModified(b *testing.B) {
	s, c := startSilent(b)
	path := s.createCanceledExecution()
	r := benchmarkRequest{method: http.MethodGet, url: s.url + path, status: http.StatusNotModified}
	r.etag = s.do(http.MethodGet, path, "").Header.Get("ETag")
	before := s.store.reads.Load()
	benchmarkRequests(b, func() error { return r.send(c) })
	require.Equal(b, before, s.store.reads.Load(), "no read of the store")
}

// Each request reads the database; the other benchmarks are compared with this one.
func BenchmarkGetQueued(b *testing.B) {
	s, c := startSilent(b)
	r := benchmarkRequest{method: http.MethodGet, url: s.url + s.runAgent(s.createAgent().Id).Urls.Self, status: http.StatusOK}
	benchmarkRequests(b, func() error { return r.send(c) })
}

func BenchmarkPostRun(b *testing.B) {
	s, c := startSilent(b)
	r := benchmarkRequest{
		method: http.MethodPost, url: s.url + "/agents/" + s.createAgent().Id + "/run", body: `{"input":"one two"}`, status: http.StatusAccepted,
	}
	benchmarkRequests(b, func() error { return r.send(c) })
}
