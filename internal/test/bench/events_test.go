package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/livesteps"
)

// BenchmarkEvents compares the time from what an agent writes in its container to a client that follows the events of
// the execution with an empty round trip over the same connections, in turns: a request to the API, and one of the API
// to the executor. It counts what Firestore has to write meanwhile.
func BenchmarkEvents(b *testing.B) {
	const events = 40
	// The agent writes the time, each time after the follower has begun to wait again.
	program := fmt.Sprintf("for ((i = 0; i < %d; i++)); do printf '%%s\\n' $EPOCHREALTIME; sleep 0.25; done", events)
	writes := &executionWrites{}
	p := newBenchEnv(b, grpc.WithChainUnaryInterceptor(writes.count))
	steps, err := livesteps.Listen(b.Context(), "127.0.0.1:0", "")
	require.NoError(b, err)
	p.startExecutorWithSteps(newDriver(b, 0), 2, commandRegistry("airlock/sandbox-claude:dev", "/bin/bash", "-c", program), steps)
	follower, err := client.New(p.baseURL, client.WithTenant(tenant))
	require.NoError(b, err)
	askExecutor := newExecutorClient(b, steps.Endpoint())
	var took, empty []time.Duration
	for b.Loop() {
		id, err := p.submitRun(b.Context())
		require.NoError(b, err)
		seen, before := 0, int64(0)
		for e, err := range follower.Events(b.Context(), id) {
			require.NoError(b, err)
			if e.Kind != "output" {
				continue
			}
			took = append(took, time.Since(parseEpoch(b, e.Step.Text)))
			if seen++; seen == 1 {
				before = writes.n.Load()
			}
			if seen == events {
				require.Equal(b, before, writes.n.Load(), "writes for %d events", events)
			}
			began := time.Now()
			p.get("/healthz")
			askExecutor()
			empty = append(empty, time.Since(began))
		}
		require.Equal(b, events, seen)
	}
	b.ReportMetric(milliseconds(median(took)), "event-p50-ms")
	b.ReportMetric(milliseconds(median(empty)), "empty-p50-ms")
	b.ReportMetric(float64(median(took))/float64(median(empty)), "ratio")
}

// parseEpoch reads a time as bash writes it: seconds, a point or a comma, and microseconds.
func parseEpoch(b *testing.B, text string) time.Time {
	b.Helper()
	micros, err := strconv.ParseInt(strings.NewReplacer(".", "", ",", "").Replace(strings.TrimSpace(text)), 10, 64)
	require.NoError(b, err)
	return time.UnixMicro(micros)
}

// executionWrites counts the writes of documents, except for the sessions, which their processes renew.
type executionWrites struct{ n atomic.Int64 }

func (w *executionWrites) count(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	var all []*firestorepb.Write
	switch r := req.(type) {
	case *firestorepb.CommitRequest:
		all = r.GetWrites()
	case *firestorepb.BatchWriteRequest:
		all = r.GetWrites()
	}
	for _, one := range all {
		if !strings.Contains(one.GetUpdate().GetName(), "/sessions/") {
			w.n.Add(1)
		}
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

// commandRegistry returns a registry in which the runtime of the benchmark's agent is this program.
func commandRegistry(image string, argv ...string) *agentruntime.Registry {
	return agentruntime.NewRegistry(agentruntime.FromCatalog(catalog.Runtime{
		Name: "offline", Image: image, Contract: catalog.Command, Argv: argv,
	}, nil))
}

// get reads something from the API.
func (p *benchEnv) get(path string) {
	p.b.Helper()
	req, err := http.NewRequestWithContext(p.b.Context(), http.MethodGet, p.baseURL+path, nil)
	require.NoError(p.b, err)
	var ignored any
	require.NoError(p.b, p.do(req, http.StatusOK, &ignored))
}

// newExecutorClient returns a function that asks an executor for the steps of an execution that it does not run.
func newExecutorClient(b *testing.B, e *fleet.Endpoint) func() {
	b.Helper()
	certificate, err := x509.ParseCertificate(e.Certificate)
	require.NoError(b, err)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	config := &tls.Config{RootCAs: roots, ServerName: certificate.DNSNames[0], MinVersion: tls.VersionTLS13}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	b.Cleanup(c.CloseIdleConnections)
	return func() {
		url := "https://" + e.Address + "/steps?tenant=" + tenant + "&execution=none&attempt=1&after=0&saying=0"
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
		require.NoError(b, err)
		req.Header.Set("Authorization", "Bearer "+e.Token)
		resp, err := c.Do(req)
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(b, err)
		require.NoError(b, resp.Body.Close())
		require.Equal(b, http.StatusNotFound, resp.StatusCode)
	}
}
