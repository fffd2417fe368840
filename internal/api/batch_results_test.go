package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

// failingStore returns one result and then fails.
type failingStore struct {
	*store.Store
	calls int
}

func (s *failingStore) BatchExecutions(ctx context.Context, b *batch.Batch, first, _ int) ([]*execution.Execution, error) {
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
	b := batch.Batch{ID: id.New(id.Batch), Tenant: defaultTenant, AgentID: a.ID, Total: total}
	inputs := s.NewBatchInputWriter(b.Ref())
	for range b.Total {
		require.NoError(t, inputs.Add(ctx, batch.Input{Text: "x"}))
	}
	require.NoError(t, inputs.Flush(ctx))
	require.NoError(t, s.SubmitBatch(ctx, &b, nil))
	_, dispatched, err := s.DispatchBatch(ctx, b.Ref())
	require.NoError(t, err)
	require.Len(t, dispatched, total)
	return b, dispatched
}

// Results that end early, because the store fails, must not look complete.
func TestTruncatedBatchResultsAreDetectable(t *testing.T) {
	realStore := store.New(strict.StartFirestore(t, firestoreemulator.Options{}).Client)
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
	afterRead func([]*execution.Execution)
}

func (s *changingStore) BatchExecutions(ctx context.Context, b *batch.Batch, first, limit int) ([]*execution.Execution, error) {
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
	changing.afterRead = func(page []*execution.Execution) {
		if s.watchers.Len() == 0 {
			unsubscribed++
		}
		if finished == len(executions) || len(page) == 0 || page[0].Status.Terminal() {
			return
		}
		_, err := s.store.Apply(t.Context(), executions[finished], execution.CancelRequested{})
		assert.NoError(t, err)
		finished++
	}
	got := s.do(http.MethodGet, "/batches/"+b.ID+"/results?follow=true", "")
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, b.Total, bytes.Count(got.body, []byte("\n")))
	require.Equal(t, b.Total, finished)
	require.Zero(t, unsubscribed)
	require.Zero(t, s.watchers.Len())
}

// pageCountingStore counts the calls of BatchExecutions.
type pageCountingStore struct {
	*store.Store
	calls int
}

func (s *pageCountingStore) BatchExecutions(ctx context.Context, b *batch.Batch, first, limit int) ([]*execution.Execution, error) {
	s.calls++
	return s.Store.BatchExecutions(ctx, b, first, limit)
}

// Executions of a finished batch were deleted. Their results are missing, and neither the results nor a retry read a
// page twice.
func TestMissingExecutionsOfBatch(t *testing.T) {
	const total = 2*resultsPageSize + 20
	counting := &pageCountingStore{}
	s := startServer(t, func(c *Config, real *store.Store) {
		counting.Store = real
		c.Stores.Batches = counting
	})
	b, executions := dispatchBatch(t, s.store.Store, total)
	fail := func(ref execution.Ref) {
		_, err := s.store.Apply(t.Context(), ref, execution.Claimed{Executor: "x"})
		require.NoError(t, err)
		failure := execution.Failure{Code: execution.CodeAgentError, Message: "m"}
		_, err = s.store.Apply(t.Context(), ref, execution.JobEnded{Attempt: 1, Ending: failure.Ending(execution.Usage{})})
		require.NoError(t, err)
	}
	failed := map[int]bool{resultsPageSize - 1: true, total - 1: true}
	for i, ref := range executions {
		if failed[i] {
			fail(ref)
			continue
		}
		_, err := s.store.Apply(t.Context(), ref, execution.CancelRequested{})
		require.NoError(t, err)
	}
	finished, _, err := s.store.DispatchBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	require.NotNil(t, finished.FinishedAt)
	missing := map[int]bool{0: true}
	for i := resultsPageSize; i < total-5; i++ {
		missing[i] = true
	}
	for i := range missing {
		_, err := s.firestore.Client.Doc("tenants/" + executions[i].Tenant + "/executions/" + executions[i].ID).Delete(t.Context())
		require.NoError(t, err)
	}

	const pages = (total + resultsPageSize - 1) / resultsPageSize
	for _, query := range []string{"", "?follow=true"} {
		counting.calls = 0
		got := s.do(http.MethodGet, "/batches/"+b.ID+"/results"+query, "")
		require.Equal(t, http.StatusOK, got.StatusCode)
		require.Equal(t, pages, counting.calls)
		lines := bytes.Split(bytes.TrimSpace(got.body), []byte("\n"))
		require.Len(t, lines, total)
		for i, line := range lines {
			var r contract.BatchResult
			require.NoError(t, json.Unmarshal(line, &r))
			want := contract.BatchResult{Index: i, ExecutionId: executions[i].ID, Status: contract.BatchResultStatusCanceled}
			switch {
			case missing[i]:
				want.ExecutionId, want.Status = "", contract.BatchResultStatusMissing
			case failed[i]:
				want.Status = contract.BatchResultStatusFailed
			}
			require.Equal(t, want, contract.BatchResult{Index: r.Index, ExecutionId: r.ExecutionId, Status: r.Status})
		}
	}
	progress := call[contract.Batch](s, "GET /batches/"+b.ID, http.StatusOK, "").Progress
	require.Equal(t, len(missing), progress.Missing)
	require.Equal(t, total, progress.Missing+progress.Failed+progress.Canceled)

	counting.calls = 0
	retry := call[contract.Batch](s, "POST /batches/"+b.ID+"/retry", http.StatusAccepted, "")
	require.Equal(t, len(failed), retry.Total, "missing inputs cannot be repeated")
	require.Equal(t, pages, counting.calls)
}

// All executions of a batch were deleted: there is nothing to retry.
func TestRetryOfBatchWithoutExecutionsEnds(t *testing.T) {
	counting := &pageCountingStore{}
	s := startServer(t, func(c *Config, real *store.Store) {
		counting.Store = real
		c.Stores.Batches = counting
	})
	b, executions := dispatchBatch(t, s.store.Store, 3)
	for _, ref := range executions {
		_, err := s.store.Apply(t.Context(), ref, execution.CancelRequested{})
		require.NoError(t, err)
	}
	_, _, err := s.store.DispatchBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	for _, ref := range executions {
		_, err := s.firestore.Client.Doc("tenants/" + ref.Tenant + "/executions/" + ref.ID).Delete(t.Context())
		require.NoError(t, err)
	}
	problem := call[contract.Problem](s, "POST /batches/"+b.ID+"/retry", http.StatusConflict, "")
	require.Equal(t, contract.ProblemNothingToRetry, problem.Code)
	require.Equal(t, 1, counting.calls)
}
