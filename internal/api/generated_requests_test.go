package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/contract/contracttest"
)

// requestsPerCheck is the number of requests, of different operations, in one check of rapid. There are a hundred
// checks, so each operation is tested some eighty times. -rapid.checks=5000 makes this a soak test.
const requestsPerCheck = 30

// The requests are valid and invalid in all ways that the contract suggests. The server never fails, and every response
// is in the contract, which the client checks.
func TestGeneratedRequests(t *testing.T) {
	s := startServer(t)
	statuses := map[string]map[int]int{}
	checks := 0
	rapid.Check(t, func(t *rapid.T) {
		checks++
		tenant := []string{tenantHeader, fmt.Sprint("tenant-", checks)} // a new tenant keeps lists and counts short
		for _, r := range contracttest.Requests(requestsPerCheck, s.createResources(tenant)).Draw(t, "requests") {
			r.Header.Set(tenant[0], tenant[1])
			if isOperatorOperation(contract.Operations()[r.Operation]) {
				r.Header.Set(operatorHeader, "true")
			}
			status := s.sendGenerated(t, r)
			if statuses[r.Operation] == nil {
				statuses[r.Operation] = map[int]int{}
			}
			statuses[r.Operation][status]++
		}
	})
	for name := range contract.Operations() {
		require.NotEmpty(t, statuses[name], "%s was not tested", name)
		t.Log(name, statuses[name])
	}
}

// createResources creates resources of each kind and returns their IDs.
func (s server) createResources(header []string) map[string][]string {
	s.t.Helper()
	a := s.createAgent(header...)
	finished, queued := s.runAgent(a.Id, header...), s.runAgent(a.Id, header...)
	call[contract.Execution](s, "POST "+finished.Urls.Cancel, http.StatusAccepted, "", header...)
	turn := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"hello"}`, header...)
	batch := call[contract.Batch](s, "POST /agents/"+a.Id+"/batches", http.StatusAccepted, "\"x\"\n", append(header, "Content-Type", "application/jsonl")...)
	return map[string][]string{
		"agents": {a.Id}, "executions": {finished.ExecutionId, queued.ExecutionId}, "conversation": {turn.ConversationId}, "batches": {batch.Id},
	}
}

// sendGenerated sends a request and returns the status of the response; 0 if the response is a stream that never ends.
func (s server) sendGenerated(t *rapid.T, r contracttest.Request) int {
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
	defer cancel()
	if strings.HasSuffix(r.Operation, "/events") || strings.Contains(r.Path, "follow=") {
		ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, s.url+r.Path, strings.NewReader(r.Body))
	if err != nil {
		t.Skip("no client can send this request")
	}
	req.Header = r.Header
	res, err := contractClient.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0
	}
	require.NoError(t, err)
	defer res.Body.Close()
	require.Less(t, res.StatusCode, http.StatusInternalServerError, "%+v", r)
	return res.StatusCode
}
