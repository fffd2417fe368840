package api

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// Very many concurrent requests share a limited number of reads, and all get a response.
func TestConcurrentReadLimit(t *testing.T) {
	s := startServer(t)
	accepted := s.runAgent(s.createAgent().Id)
	gate := make(chan struct{})
	s.store.beforeRead = func() { <-gate }

	const callers = maxConcurrentReads + 20
	var all errgroup.Group
	for range callers {
		all.Go(func() error {
			res, err := http.Get(s.url + accepted.Urls.Self + "?wait=1ms")
			if err != nil {
				return err
			}
			return res.Body.Close()
		})
	}
	require.Eventually(t, func() bool { return s.watchers.Len() == callers && s.store.reads.Load() == maxConcurrentReads }, 4*time.Second, time.Millisecond)
	close(gate)
	require.NoError(t, all.Wait())
	require.GreaterOrEqual(t, s.store.reads.Load(), int64(callers))
}

// A panic fails only its own request, in whichever goroutine it happens.
func TestPanicFailsOnlyItsRequest(t *testing.T) {
	s := startServer(t)
	accepted := s.runAgent(s.createAgent().Id)
	s.store.beforeRead = func() { panic("broken") }
	for _, path := range []string{accepted.Urls.Self, accepted.Urls.Self + "?wait=1s", accepted.Urls.Events} {
		got := s.do(http.MethodGet, path, "")
		require.Equal(t, http.StatusInternalServerError, got.StatusCode)
		require.Equal(t, contract.ProblemInternal, decodeProblem(t, got).Code)
		require.NotContains(t, string(got.body), "broken")
	}
	s.store.beforeRead = nil
	call[contract.Execution](s, "GET "+accepted.Urls.Self, http.StatusOK, "")
}

// panickingBatches panics over what batches consist of.
type panickingBatches struct{ *store.Store }

func (panickingBatches) BatchExecutions(context.Context, *batch.Batch, int, int) ([]*execution.Execution, error) {
	panic("broken")
}

func (panickingBatches) NewBatchInputWriter(batch.Ref) *store.BatchInputWriter { panic("broken") }

// A response that has begun is cut, so that it does not look complete.
func TestPanicFailsOnlyItsStreamOrUpload(t *testing.T) {
	s := startServer(t, func(c *Config, real *store.Store) {
		c.Stores.Batches = panickingBatches{real}
	})
	agent := s.createAgent()
	got := s.do(http.MethodPost, "/agents/"+agent.Id+"/batches", `"a"`, "Content-Type", "application/jsonl")
	require.Equal(t, http.StatusInternalServerError, got.StatusCode)
	b := batch.Batch{ID: id.New(id.Batch), Tenant: defaultTenant, AgentID: agent.Id, Total: 1}
	inputs := s.store.NewBatchInputWriter(b.Ref())
	require.NoError(t, inputs.Add(t.Context(), batch.Input{Text: "a"}))
	require.NoError(t, inputs.Flush(t.Context()))
	require.NoError(t, s.store.SubmitBatch(t.Context(), &b, nil))
	for _, query := range []string{"", "?follow=true"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/batches/"+b.ID+"/results"+query, nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		if err == nil { // the header may have arrived
			_, err = io.ReadAll(res.Body)
			require.NoError(t, res.Body.Close())
		}
		require.Error(t, err, "the connection is cut")
	}
	call[contract.Batch](s, "GET /batches/"+b.ID, http.StatusOK, "")
}
