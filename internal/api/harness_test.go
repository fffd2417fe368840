package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/contract/contracttest"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/quota/quotatest"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
	"github.com/airlock-run/airlock/internal/watch"
)

// noQueue is a queue without executors.
type noQueue struct{}

func (noQueue) Ensure(context.Context, ...string) error         { return nil }
func (noQueue) Check(context.Context) error                     { return nil }
func (noQueue) Publish(context.Context, execution.Change) error { return nil }

// wake sends the server the signal that an execution has changed.
func (s *server) wake(ref execution.Ref) {
	s.t.Helper()
	require.NoError(s.t, s.store.SendSignals(s.t.Context(), signal.Signal{
		To: s.watchers.Process(), Kind: signal.KindChange, Tenant: ref.Tenant, Change: &signal.Change{ExecutionID: ref.ID},
	}))
}

// countingStore counts the reads of executions.
type countingStore struct {
	*store.Store
	reads      atomic.Int64
	beforeRead func() // called before a read; may be nil
}

func (s *countingStore) ExecutionVersion(ctx context.Context, ref execution.Ref) (execution.Execution, time.Time, error) {
	s.reads.Add(1)
	if s.beforeRead != nil {
		s.beforeRead()
	}
	return s.Store.ExecutionVersion(ctx, ref)
}

// server is an API with its own Firestore, and a client that checks all responses against the contract.
type server struct {
	*Server
	t         testing.TB
	url       string
	firestore *emulatortest.Firestore
	store     *countingStore
}

// startServer starts a server. A change edits its configuration.
func startServer(t testing.TB, change ...func(*Config, *store.Store)) server {
	t.Helper()
	return startServerWith(t, firestoreemulator.Options{}, change...)
}

// startServerWith is startServer over a Firestore with options.
func startServerWith(t testing.TB, o firestoreemulator.Options, change ...func(*Config, *store.Store)) server {
	t.Helper()
	f := strict.StartFirestore(t, o)
	s := &countingStore{Store: store.New(f.Client)}
	config := Config{
		Stores: StoresOf(s.Store), Submitter: quotatest.Unlimited{Store: s.Store}, Queue: noQueue{}, Watch: watch.New(s.Store, id.New(id.Process), zap.NewNop()), Auth: DevAuthenticator{BelieveOperator: true}, WebUI: http.NotFoundHandler(), Log: zaptest.NewLogger(t),
		Version: "test", Runtimes: []string{"offline", "claude"}, DefaultRuntime: "offline",
		Capabilities: map[string]agent.Capabilities{
			"claude": {Settings: agent.AllSettings, MaxTurns: 50, Conversations: true, ReservedEnv: []string{"SET_BY_THE_RUNTIME"}},
		},
	}
	config.Stores.Executions = s
	blobs, err := blob.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, blobs.Close()) })
	config.Artifacts = blobs
	for _, c := range change {
		c(&config, s.Store)
	}
	srv := New(config)
	httpServer := httptest.NewServer(srv.Handler())
	t.Cleanup(httpServer.Close)
	return server{Server: srv, t: t, url: httpServer.URL, firestore: f, store: s}
}

// response is a response whose body is read.
type response struct {
	*http.Response
	body []byte
}

var contractClient = &http.Client{Transport: contracttest.Transport{}}

// do sends a request. The header alternates names and values.
func (s server) do(method, path, body string, header ...string) response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader([]byte(body)))
	require.NoError(s.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := contractClient.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return response{Response: res, body: read}
}

// call sends a request to a route such as "GET /agents", requires the status, and decodes the response.
func call[T any](s server, route string, status int, body string, header ...string) T {
	s.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	got := s.do(method, path, body, header...)
	require.Equal(s.t, status, got.StatusCode, "%s: %s", route, got.body)
	var v T
	require.NoError(s.t, json.Unmarshal(got.body, &v))
	return v
}

func (s server) createAgent(header ...string) contract.Agent {
	s.t.Helper()
	return call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"Count"}`, header...)
}

func (s server) runAgent(agentID string, header ...string) contract.AcceptedExecution {
	s.t.Helper()
	return call[contract.AcceptedExecution](s, "POST /agents/"+agentID+"/run", http.StatusAccepted, `{"input":"one two"}`, header...)
}

// batchRef names a batch of the default tenant.
func batchRef(batchID string) batch.Ref { return batch.Ref{Tenant: defaultTenant, ID: batchID} }
