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

// clients is how many call at once in the benchmarks.
const clients = 32

// quiet is a server that logs nothing, and a client for each of clients.
func startSilent(b *testing.B) (server, *http.Client) {
	b.Helper()
	s := startServer(b)
	s.log = zap.NewNop()
	return s, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
}

// each has b.N requests made by clients at once and reports how many a second,
// and how much longer the slowest hundredth takes than the middle one.
func benchmarkRequests(b *testing.B, do func() error) {
	b.Helper()
	took := make([][]time.Duration, clients)
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for i := range clients {
		all.Go(func() {
			for left.Add(-1) >= 0 {
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

// Server, clients and Firestore's emulator share the machine.
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
	require.Equal(b, before, s.store.reads.Load(), "no read")
}

// A read of the database for each, to compare the others with.
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
