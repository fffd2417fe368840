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

// perCheck requests, of different operations, make one of rapid's checks. Of
// these there are a hundred, so each operation comes some eighty times;
// -rapid.checks=5000 makes it a soak.
const requestsPerCheck = 30

// Requests right and wrong in all the ways that the contract gives rise to: no
// answer is the server's fault, and each is in the contract (which is what the
// client checks).
func TestGeneratedRequests(t *testing.T) {
	s := startServer(t)
	statuses := map[string]map[int]int{}
	checks := 0
	rapid.Check(t, func(t *rapid.T) {
		checks++
		tenant := []string{tenantHeader, fmt.Sprint("tenant-", checks)} // so that lists and counts stay short
		for _, r := range contracttest.Requests(requestsPerCheck, s.createResources(tenant)).Draw(t, "requests") {
			r.Header.Set(tenant[0], tenant[1])
			status := s.sendGenerated(t, r)
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
func (s server) createResources(header []string) map[string][]string {
	s.t.Helper()
	a := s.createAgent(header...)
	ended, waits := s.runAgent(a.Id, header...), s.runAgent(a.Id, header...)
	call[contract.Execution](s, http.MethodPost, ended.Urls.Cancel, http.StatusAccepted, "", header...)
	turn := call[contract.AcceptedExecution](s, http.MethodPost, "/api/conversation", http.StatusAccepted, `{"message":"hello"}`, header...)
	batch := call[contract.Batch](s, http.MethodPost, "/agents/"+a.Id+"/batches", http.StatusAccepted, "\"x\"\n", append(header, "Content-Type", "application/jsonl")...)
	return map[string][]string{
		"agents": {a.Id}, "executions": {ended.ExecutionId, waits.ExecutionId}, "conversation": {turn.ConversationId}, "batches": {batch.Id},
	}
}

// fire sends a request and returns the status of its answer; 0 where the answer
// is a stream that waits for what does not come here.
func (s server) sendGenerated(t *rapid.T, r contracttest.Request) int {
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
	res, err := contractClient.Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0
	}
	require.NoError(t, err)
	defer res.Body.Close()
	require.Less(t, res.StatusCode, http.StatusInternalServerError, "%+v", r)
	return res.StatusCode
}
