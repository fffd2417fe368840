package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// createRequest is a POST that creates something.
type createRequest struct{ path, body, other string }

// createRequests returns a request for each operation that accepts an Idempotency-Key, by operation ID.
func createRequests(t *testing.T, s server) map[string]createRequest {
	t.Helper()
	agent := s.createAgent()
	finished := s.runAgent(agent.Id)
	s.do(http.MethodPost, finished.Urls.Cancel, "")
	all := map[string]createRequest{
		"createAgent":       {"/agents", `{"name":"B","instructions":"C"}`, `{"name":"B","instructions":"D"}`},
		"createEnvironment": {"/environments", `{"name":"B"}`, `{"name":"C"}`},
		"runAgent":          {"/agents/" + agent.Id + "/run", `{"input":"x"}`, `{"input":"y"}`},
		"sendMessage":       {"/api/conversation", `{"message":"x"}`, `{"message":"y"}`},
		"uploadFile":        {"/files?name=a", "x", "y"},
		"submitBatch":       {"/agents/" + agent.Id + "/batches", "\"x\"\n\"y\"\n", "\"x\"\n\"z\"\n"},
		"retryExecution":    {"/executions/" + finished.ExecutionId + "/retry", "{}", ""}, // no handler reads this body
		"retryBatch":        {"/batches/" + createFailedBatch(t, s, agent.Id) + "/retry", "", ""},
	}
	for name, op := range contract.Operations() {
		_, tested := all[op.ID]
		require.Equal(t, op.AcceptsHeader(headerIdempotencyKey), tested, "%s is not tested", name)
	}
	return all
}

// createFailedBatch creates a batch whose one input has failed.
func createFailedBatch(t *testing.T, s server, agentID string) string {
	t.Helper()
	b := call[contract.Batch](s, "POST /agents/"+agentID+"/batches", http.StatusAccepted, `"x"`, "Content-Type", "application/jsonl")
	ref := batchRef(b.Id)
	_, dispatched, err := s.store.DispatchBatch(t.Context(), ref)
	require.NoError(t, err)
	for _, e := range dispatched {
		_, err := s.store.Apply(t.Context(), e, execution.Claimed{Executor: "x"})
		require.NoError(t, err)
		_, err = s.store.Apply(t.Context(), e, execution.JobEnded{Attempt: 1, Ending: execution.Ending{Status: execution.Failed, Failure: &execution.Failure{Code: execution.CodeAgentError, Message: "m"}}})
		require.NoError(t, err)
	}
	_, _, err = s.store.DispatchBatch(t.Context(), ref)
	require.NoError(t, err)
	return b.Id
}

func (c createRequest) send(s server, body string, header ...string) response {
	if strings.HasSuffix(c.path, "/batches") {
		header = append(header, "Content-Type", "application/jsonl")
	}
	return s.do(http.MethodPost, c.path, body, header...)
}

func TestIdempotentReplay(t *testing.T) {
	s := startServer(t)
	for name, c := range createRequests(t, s) {
		t.Run(name, func(t *testing.T) {
			header := []string{"Idempotency-Key", name}
			first := c.send(s, c.body, header...)
			require.Less(t, first.StatusCode, 300, "%s", first.body)
			require.Empty(t, first.Header.Get(headerReplayed))
			again := c.send(s, c.body, header...)
			require.Equal(t, "true", again.Header.Get(headerReplayed))
			require.Equal(t, first.StatusCode, again.StatusCode)
			require.Equal(t, string(first.body), string(again.body))
			require.NotEmpty(t, first.Header.Get("Location"))
			require.Equal(t, first.Header.Get("Location"), again.Header.Get("Location"))

			other := c.send(s, c.body, "Idempotency-Key", name+"2")
			require.NotEqual(t, string(first.body), string(other.body), "another key creates another resource")
			if c.other == "" {
				return
			}
			reused := c.send(s, c.other, header...)
			require.Equal(t, http.StatusUnprocessableEntity, reused.StatusCode)
			require.Equal(t, contract.ProblemIdempotencyKeyReused, decodeProblem(t, reused).Code)
		})
	}
}

// The response is the same also when its agent is deleted.
func TestIdempotentReplayAfterDelete(t *testing.T) {
	s := startServer(t)
	agent := s.createAgent()
	key := []string{"Idempotency-Key", "k"}
	first := s.do(http.MethodPost, "/agents/"+agent.Id+"/run", `{"input":"x"}`, key...)
	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, "/agents/"+agent.Id, "").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodPost, "/agents/"+agent.Id+"/run", `{"input":"x"}`).StatusCode)
	require.Equal(t, string(first.body), string(s.do(http.MethodPost, "/agents/"+agent.Id+"/run", `{"input":"x"}`, key...).body))
}

// The response has the state at the time of the first request, whatever has happened since.
func TestIdempotentReplayAfterChange(t *testing.T) {
	s := startServer(t)
	agent := s.createAgent()
	path := "/agents/" + agent.Id
	for name, tc := range map[string]struct {
		create createRequest
		change func(location string)
	}{
		"agent": {createRequest{path: "/agents", body: `{"name":"B","instructions":"C"}`}, func(location string) {
			require.Equal(t, http.StatusOK, s.do(http.MethodPatch, location, `{"name":"D"}`).StatusCode)
		}},
		"execution": {createRequest{path: path + "/run", body: `{"input":"x"}`}, func(location string) {
			require.Equal(t, http.StatusAccepted, s.do(http.MethodPost, location+"/cancel", "").StatusCode)
		}},
		"batch": {createRequest{path: path + "/batches", body: `"x"`}, func(location string) {
			require.Equal(t, http.StatusAccepted, s.do(http.MethodPost, location+"/cancel", "").StatusCode)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			first := tc.create.send(s, tc.create.body, "Idempotency-Key", name)
			require.Less(t, first.StatusCode, 300, "%s", first.body)
			tc.change(first.Header.Get("Location"))
			again := tc.create.send(s, tc.create.body, "Idempotency-Key", name)
			require.Equal(t, first.StatusCode, again.StatusCode)
			require.Equal(t, string(first.body), string(again.body))
			require.Equal(t, first.Header.Get("Location"), again.Header.Get("Location"))
		})
	}
}

func TestIdempotencyKeyScope(t *testing.T) {
	s := startServer(t)
	body := `{"name":"B","instructions":"C"}`
	first := s.do(http.MethodPost, "/agents", body, "Idempotency-Key", "k")
	bobs := s.do(http.MethodPost, "/agents", body, "Idempotency-Key", "k", "X-User-Id", "bob")
	require.Equal(t, http.StatusCreated, bobs.StatusCode)
	require.NotEqual(t, string(first.body), string(bobs.body))
	elsewhere := s.do(http.MethodPost, "/api/conversation", `{"message":"x"}`, "Idempotency-Key", "k")
	require.Equal(t, http.StatusUnprocessableEntity, elsewhere.StatusCode)
}

func TestConcurrentIdempotentRequestsCreateOne(t *testing.T) {
	s := startServer(t)
	agent := s.createAgent()
	var (
		all       sync.WaitGroup
		mu        sync.Mutex
		responses = map[string]int{}
	)
	for range 10 {
		all.Go(func() {
			for {
				got := s.do(http.MethodPost, "/agents/"+agent.Id+"/run", `{"input":"x"}`, "Idempotency-Key", "k")
				if got.StatusCode == http.StatusServiceUnavailable {
					continue // too many concurrent writes of one document
				}
				mu.Lock()
				responses[string(got.body)]++
				mu.Unlock()
				return
			}
		})
	}
	all.Wait()
	require.Len(t, responses, 1)
	require.Len(t, call[contract.ExecutionList](s, "GET /executions", http.StatusOK, "").Executions, 1)
}

func TestRejectedRequestDoesNotConsumeIdempotencyKey(t *testing.T) {
	s := startServer(t)
	require.Equal(t, http.StatusBadRequest, s.do(http.MethodPost, "/agents", `{"name":"B"}`, "Idempotency-Key", "k").StatusCode)
	require.Equal(t, http.StatusCreated, s.do(http.MethodPost, "/agents", `{"name":"B","instructions":"C"}`, "Idempotency-Key", "k").StatusCode)
}

func TestInvalidIdempotencyKeys(t *testing.T) {
	s := startServer(t)
	for _, key := range []string{"a b", "é", strings.Repeat("x", 256), "a\tb"} {
		got := s.do(http.MethodPost, "/agents", `{"name":"B","instructions":"C"}`, "Idempotency-Key", key)
		require.Equal(t, http.StatusBadRequest, got.StatusCode, key)
		require.Contains(t, decodeProblem(t, got).Detail, "Idempotency-Key")
	}
	require.Empty(t, call[contract.AgentList](s, "GET /agents", http.StatusOK, "").Agents)
}

func TestIssueKeyRejectsIdempotencyKey(t *testing.T) {
	g := startWithAPIKeys(t)
	got := g.do(http.MethodPost, "/keys", `{"name":"a","scopes":["read"]}`, append(g.issueKey("ada", "keys", "read"), "Idempotency-Key", "k")...)
	require.Equal(t, http.StatusBadRequest, got.StatusCode)
	require.Contains(t, decodeProblem(t, got).Detail, "secret")
}

// staleStore finds no key: the requests that it stands for arrive at the same time.
type staleStore struct{}

func (staleStore) CheckIdempotencyKey(context.Context, string, string) error { return nil }

// The batch that loses the race gets the response of the other one.
func TestConcurrentIdempotentBatchesCreateOne(t *testing.T) {
	s := startServer(t)
	agent := s.createAgent()
	s.stores.Idempotency = staleStore{}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte("\"x\"\n"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	header := []string{"Content-Type", "application/jsonl", "Content-Encoding", "gzip", "Idempotency-Key", "k"}
	first := s.do(http.MethodPost, "/agents/"+agent.Id+"/batches", zipped.String(), header...)
	require.Equal(t, http.StatusAccepted, first.StatusCode, "%s", first.body)
	again := s.do(http.MethodPost, "/agents/"+agent.Id+"/batches", zipped.String(), header...)
	require.Equal(t, string(first.body), string(again.body))
	require.Equal(t, "true", again.Header.Get(headerReplayed))
	require.Len(t, call[contract.BatchList](s, "GET /batches", http.StatusOK, "").Batches, 1)
}
