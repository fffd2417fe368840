package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// failingStore returns one result and then fails.
type failingStore struct {
	*store.Store
	calls int
}

func (s *failingStore) BatchExecutions(ctx context.Context, b *batch.Batch, first, _ int) ([]execution.Execution, error) {
	if s.calls++; s.calls > 1 {
		return nil, errors.New("on purpose")
	}
	return s.Store.BatchExecutions(ctx, b, first, 1)
}

// Results that end early, because the store fails, must not look complete.
func TestTruncatedBatchResultsAreDetectable(t *testing.T) {
	realStore := store.New(emulatortest.StartFirestore(t, firestoreemulator.Options{}).Client)
	ctx := t.Context()
	a := agent.Agent{Tenant: defaultTenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, realStore.CreateAgent(ctx, &a, nil))
	b := batch.Batch{ID: id.New(id.Batch), Tenant: defaultTenant, AgentID: a.ID, Total: 2, Window: 2}
	inputs := realStore.NewBatchInputWriter(b.Ref())
	for range b.Total {
		require.NoError(t, inputs.Add(ctx, batch.Input{Text: "x"}))
	}
	require.NoError(t, inputs.Flush(ctx))
	require.NoError(t, realStore.SubmitBatch(ctx, &b, nil))
	_, dispatched, err := realStore.DispatchBatch(ctx, b.Ref())
	require.NoError(t, err)
	require.Len(t, dispatched.Notify, 2)
	for _, ref := range dispatched.Notify {
		_, err := realStore.Apply(ctx, ref, execution.CancelRequested{})
		require.NoError(t, err)
	}

	stores := StoresOf(realStore)
	stores.Batches = &failingStore{Store: realStore}
	srv := New(Config{Stores: stores, WebUI: http.NotFoundHandler(), Auth: DevAuthenticator{}, Log: zaptest.NewLogger(t)})
	httpServer := httptest.NewServer(srv.Handler())
	defer httpServer.Close()
	// The server's buffer decides whether the first line is sent before the failure.
	res, err := http.Get(httpServer.URL + "/batches/" + b.ID + "/results")
	if err == nil {
		defer res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		_, err = io.ReadAll(res.Body)
	}
	require.Error(t, err)
}
