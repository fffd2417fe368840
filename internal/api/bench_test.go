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

func sendRequest(c *http.Client, method, url, body, etag string, status int) error {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != status {
		return fmt.Errorf("%s answered %d", url, res.StatusCode)
	}
	return nil
}

// The server, the clients and the Firestore emulator share the machine.
func BenchmarkGetFinished(b *testing.B) {
	s, c := startSilent(b)
	url := s.url + s.createCanceledExecution()
	benchmarkRequests(b, func() error { return sendRequest(c, http.MethodGet, url, "", "", http.StatusOK) })
}

func BenchmarkGetNotModified(b *testing.B) {
	s, c := startSilent(b)
	path := s.createCanceledExecution()
	etag := s.do(http.MethodGet, path, "").Header.Get("ETag")
	before := s.store.reads.Load()
	benchmarkRequests(b, func() error { return sendRequest(c, http.MethodGet, s.url+path, "", etag, http.StatusNotModified) })
	require.Equal(b, before, s.store.reads.Load(), "no read of the store")
}

// Each request reads the database; the other benchmarks are compared with this one.
func BenchmarkGetQueued(b *testing.B) {
	s, c := startSilent(b)
	url := s.url + s.runAgent(s.createAgent().Id).Urls.Self
	benchmarkRequests(b, func() error { return sendRequest(c, http.MethodGet, url, "", "", http.StatusOK) })
}

func BenchmarkPostRun(b *testing.B) {
	s, c := startSilent(b)
	url := s.url + "/agents/" + s.createAgent().Id + "/run"
	benchmarkRequests(b, func() error {
		return sendRequest(c, http.MethodPost, url, `{"input":"one two"}`, "", http.StatusAccepted)
	})
}
