package backlog

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

// faultyStore is the real store, until err is set.
type faultyStore struct {
	*store.Store
	err   error
	calls int
}

func (f *faultyStore) Backlog(ctx context.Context) (store.Backlog, error) {
	f.calls++
	if f.err != nil {
		return store.Backlog{}, f.err
	}
	return f.Store.Backlog(ctx)
}

func TestCollectCountsByLaneAndCaches(t *testing.T) {
	clock := new(emulatortest.Clock)
	s := &faultyStore{Store: store.New(strict.StartFirestore(t, firestoreemulator.Options{Now: clock.Now}).Client)}
	a := agent.Agent{Tenant: "ada", Name: "A", Instructions: "Count", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, s.CreateAgent(t.Context(), &a, nil))
	run := func(webhook string) execution.Ref {
		ch, err := s.SubmitRun(t.Context(), store.RunRequest{Tenant: "ada", AgentID: a.ID, Input: "one", Webhook: webhook})
		require.NoError(t, err)
		return ch.Execution.Ref()
	}
	run("")
	clock.Advance(time.Hour)
	claimed, canceled := run(""), run("https://example.com")
	run("")
	_, err := s.Apply(t.Context(), claimed, execution.Claimed{Executor: "x"})
	require.NoError(t, err)
	_, err = s.Apply(t.Context(), canceled, execution.CancelRequested{})
	require.NoError(t, err)
	b := batch.Batch{ID: "bat_1", Tenant: "ada", AgentID: a.ID, Total: 1}
	inputs := s.NewBatchInputWriter(b.Ref())
	require.NoError(t, inputs.Add(t.Context(), batch.Input{Text: "x"}))
	require.NoError(t, inputs.Flush(t.Context()))
	require.NoError(t, s.SubmitBatch(t.Context(), &b, nil))

	now := time.Unix(0, 0)
	c := New(s, func() time.Time { return now }, zaptest.NewLogger(t))
	require.Equal(t, 5, testutil.CollectAndCount(c))
	counted, err := s.Store.Backlog(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[execution.Lane]int{execution.LaneInteractive: 2, execution.LaneBatch: 0}, counted.Queued)
	require.Equal(t, 1, counted.Running)
	require.Equal(t, 1, counted.Batches)
	require.Equal(t, 1, counted.Deliveries)

	testutil.CollectAndCount(c)
	require.Equal(t, 1, s.calls, "one count serves all scrapes for cacheTTL")
	now = now.Add(cacheTTL)
	s.err = errors.New("away")
	require.Zero(t, testutil.CollectAndCount(c), "no metrics are better than old metrics")
	s.err = nil
	require.Equal(t, 5, testutil.CollectAndCount(c))
}

func TestHandlerIncludesBacklog(t *testing.T) {
	s := store.New(strict.StartFirestore(t, firestoreemulator.Options{}).Client)
	server := httptest.NewServer(metrics.Handler(New(s, time.Now, zaptest.NewLogger(t))))
	defer server.Close()
	res, err := http.Get(server.URL)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	http.DefaultClient.CloseIdleConnections()
	for _, name := range []string{`airlock_queue_depth{lane="batch"} 0`, "airlock_executor_slots 0", "go_goroutines"} {
		require.Contains(t, string(text), name)
	}
}
