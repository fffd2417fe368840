package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/store"
)

// A Firestore that does not answer does not make Pub/Sub look dead.
func TestDeadFirestoreLeavesPubSubReady(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := queue.New(p.Client)
	t.Cleanup(q.Close)
	require.NoError(t, q.Ensure(t.Context()))
	s := startServer(t, func(c *Config, st *store.Store) {
		c.Queue, c.Stores.Clock, c.Stores.Fleet = q, deadFirestore{}, deadFirestore{FleetStore: st}
	})
	answer := make(chan response)
	go func() { answer <- s.do(http.MethodGet, "/status", "", asOperator...) }()
	ready := call[contract.Readiness](s, "GET /readyz", http.StatusServiceUnavailable, "")
	for i, name := range []string{"firestore", "pubsub"} {
		require.Equal(t, name, ready.Checks[i].Name)
		require.Equal(t, name == "pubsub", ready.Checks[i].Ok, ready.Checks[i].Detail)
	}
	var status contract.InstallationStatus
	require.NoError(t, json.Unmarshal((<-answer).body, &status))
	require.Len(t, status.Checks, 2)
	for _, check := range status.Checks {
		require.Equal(t, check.Name == "pubsub", check.Ok, "%s: %s", check.Name, check.Detail)
	}
}

// deadFirestore does not answer.
type deadFirestore struct{ FleetStore }

func (deadFirestore) Now(ctx context.Context) (time.Time, error) {
	<-ctx.Done()
	return time.Time{}, ctx.Err()
}

func (deadFirestore) ReadFleet(ctx context.Context) (store.FleetSnapshot, error) {
	<-ctx.Done()
	return store.FleetSnapshot{}, ctx.Err()
}

func TestReadyNamesMissingTopic(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{DenyAdmin: true})
	q := queue.New(p.Client, queue.Unmanaged)
	t.Cleanup(q.Close)
	s := startServer(t, func(c *Config, _ *store.Store) { c.Queue = q })
	ready := call[contract.Readiness](s, "GET /readyz", http.StatusServiceUnavailable, "")
	i := slices.IndexFunc(ready.Checks, func(c contract.Check) bool { return c.Name == "pubsub" })
	require.False(t, ready.Checks[i].Ok)
	require.Contains(t, ready.Checks[i].Detail, "topic executions-interactive not found: create it, or set AIRLOCK_PUBSUB_MANAGE=true")
}
