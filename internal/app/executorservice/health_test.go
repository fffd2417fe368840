package executorservice

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestReadinessNamesMissingSubscription(t *testing.T) {
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := queue.New(p.Client, queue.Unmanaged)
	defer q.Close()
	handler := healthHandler(withQueue(func() executor.Health { return executor.Health{Pulling: true, JobStarts: map[string]int{"ahead": 2}} }, q.PullError),
		func() sandbox.WaitingAgents { return sandbox.WaitingAgents{AnyJob: 1} })
	ask := func() (r Readiness, code int) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &r))
		return r, w.Code
	}
	_, code := ask()
	require.Equal(t, http.StatusOK, code)

	_, err := q.Pull(t.Context(), queue.Subscription{Lane: execution.LaneBatch, Runtime: "offline"}, 1)
	require.Error(t, err)
	r, code := ask()
	require.Equal(t, 1, r.AgentsWaiting.AnyJob)
	require.Equal(t, 2, r.JobStarts["ahead"])
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, NotReady, r.Status)
	require.Contains(t, r.Reason, "subscription executions-batch-offline not found: create it, or set AIRLOCK_PUBSUB_MANAGE=true")
}
