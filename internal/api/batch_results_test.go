package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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

// dispatchBatch stores a batch and creates its executions.
func dispatchBatch(t *testing.T, s *store.Store, total int) (batch.Batch, []execution.Ref) {
	t.Helper()
	ctx := t.Context()
	a := agent.Agent{Tenant: defaultTenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, s.CreateAgent(ctx, &a, nil))
	b := batch.Batch{ID: id.New(id.Batch), Tenant: defaultTenant, AgentID: a.ID, Total: total, Window: total}
	inputs := s.NewBatchInputWriter(b.Ref())
	for range b.Total {
		require.NoError(t, inputs.Add(ctx, batch.Input{Text: "x"}))
	}
	require.NoError(t, inputs.Flush(ctx))
	require.NoError(t, s.SubmitBatch(ctx, &b, nil))
	_, dispatched, err := s.DispatchBatch(ctx, b.Ref())
	require.NoError(t, err)
	require.Len(t, dispatched.Notify, total)
	return b, dispatched.Notify
}

// Results that end early, because the store fails, must not look complete.
func TestTruncatedBatchResultsAreDetectable(t *testing.T) {
	realStore := store.New(emulatortest.StartFirestore(t, firestoreemulator.Options{}).Client)
	b, executions := dispatchBatch(t, realStore, 2)
	for _, ref := range executions {
		_, err := realStore.Apply(t.Context(), ref, execution.CancelRequested{})
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

// changingStore calls afterRead when executions of a batch have been read.
type changingStore struct {
	*store.Store
	afterRead func([]execution.Execution)
}

func (s *changingStore) BatchExecutions(ctx context.Context, b *batch.Batch, first, limit int) ([]execution.Execution, error) {
	page, err := s.Store.BatchExecutions(ctx, b, first, limit)
	s.afterRead(page)
	return page, err
}

// An execution that finishes between its read and the wait for a change must not cost a poll interval. So the response
// is subscribed to the first unfinished input whenever it reads.
func TestFollowedResultsMissNoChange(t *testing.T) {
	changing := &changingStore{}
	s := startServer(t, func(c *Config, real *store.Store) {
		changing.Store = real
		c.Stores.Batches = changing
	})
	b, executions := dispatchBatch(t, s.store.Store, 3)
	var unsubscribed, finished int
	changing.afterRead = func(page []execution.Execution) {
		if s.watchers.Len() == 0 {
			unsubscribed++
		}
		if finished == len(executions) || len(page) == 0 || page[0].Status.Terminal() {
			return
		}
		ch, err := s.store.Apply(t.Context(), executions[finished], execution.CancelRequested{})
		assert.NoError(t, err)
		finished++
		s.watchers.Notify(ch.Execution.Ref())
	}
	got := s.do(http.MethodGet, "/batches/"+b.ID+"/results?follow=true", "")
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, b.Total, bytes.Count(got.body, []byte("\n")))
	require.Equal(t, b.Total, finished)
	require.Zero(t, unsubscribed)
	require.Zero(t, s.watchers.Len())
}
