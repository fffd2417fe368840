package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/contract/contracttest"
)

// perCheck requests make one of rapid's checks, of which there are a hundred.
const perCheck = 50

// Thousands of requests, right and wrong in all the ways that the contract
// gives rise to: no answer is the server's fault, and each is in the contract
// (which is what the client checks).
func TestGeneratedRequests(t *testing.T) {
	s := start(t)
	statuses := map[string]map[int]int{}
	rapid.Check(t, func(t *rapid.T) {
		ids := s.resources()
		for range perCheck {
			r := contracttest.Requests(ids).Draw(t, "request")
			status := s.fire(t, r)
			if statuses[r.Operation] == nil {
				statuses[r.Operation] = map[int]int{}
			}
			statuses[r.Operation][status]++
		}
	})
	for name := range contract.Operations() {
		require.NotEmpty(t, statuses[name], "%s was never asked", name)
		t.Log(name, statuses[name])
	}
}

// resources makes one of each that there is.
func (s server) resources() map[string][]string {
	s.t.Helper()
	a := s.agent()
	ended := s.run(a.Id)
	call[contract.Execution](s, http.MethodPost, ended.Urls.Cancel, http.StatusAccepted, "")
	turn := call[contract.Accepted](s, http.MethodPost, "/api/conversation", http.StatusAccepted, `{"message":"hello"}`)
	batch := call[contract.Batch](s, http.MethodPost, "/agents/"+a.Id+"/batches", http.StatusAccepted, "\"x\"\n", "Content-Type", "application/jsonl")
	return map[string][]string{
		"agents": {a.Id}, "executions": {ended.ExecutionId, s.run(a.Id).ExecutionId}, "conversation": {turn.ConversationId}, "batches": {batch.Id},
	}
}

// fire sends a request and returns the status of its answer; 0 where the answer
// is a stream that waits for what does not come here.
func (s server) fire(t *rapid.T, r contracttest.Request) int {
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
	defer cancel()
	if strings.HasSuffix(r.Operation, "/events") || strings.Contains(r.Path, "follow=") {
		ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, s.url+r.Path, strings.NewReader(r.Body))
	if err != nil {
		t.Skip("no request that a client could send")
	}
	req.Header = r.Header
	res, err := checked.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0
	}
	require.NoError(t, err)
	defer res.Body.Close()
	require.Less(t, res.StatusCode, http.StatusInternalServerError, "%+v", r)
	return res.StatusCode
}
