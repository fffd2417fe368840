package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/contract/contracttest"
)

const jsonType = "application/json"

// contractClient checks every response against the OpenAPI document.
var contractClient = &http.Client{Transport: contracttest.Transport{}}

// response is a response with its whole body.
type response struct {
	*http.Response
	body []byte
}

// decode reads the body as JSON.
func (r response) decode(t *testing.T, result any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(r.body, result), "%s", r.body)
}

// do sends a request. An empty contentType sends no such header.
func (a *airlock) do(method, path, contentType string, body []byte) response {
	a.t.Helper()
	header := http.Header{}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	return a.doWithHeader(method, path, header, body)
}

// doWithHeader sends a request with these headers, and those of the tenant and the API key.
func (a *airlock) doWithHeader(method, path string, header http.Header, body []byte) response {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.URL+path, bytes.NewReader(body))
	require.NoError(a.t, err)
	req.Header = header.Clone()
	if a.tenant != "" {
		req.Header.Set("X-User-Id", a.tenant)
	}
	if a.apiKey != "" {
		req.Header.Set("Authorization", "Bearer "+a.apiKey)
	}
	res, err := contractClient.Do(req)
	require.NoError(a.t, err)
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	require.NoError(a.t, err)
	return response{Response: res, body: read}
}

// call sends a body as JSON, unless it is nil, and requires the status.
func (a *airlock) call(method, path string, status int, body any) response {
	a.t.Helper()
	var encoded []byte
	contentType := ""
	if body != nil {
		var err error
		encoded, err = json.Marshal(body)
		require.NoError(a.t, err)
		contentType = jsonType
	}
	got := a.do(method, path, contentType, encoded)
	require.Equal(a.t, status, got.StatusCode, "%s %s: %s", method, path, got.body)
	return got
}

// repeat sends a request that may be sent any number of times. On a busy machine Firestore may be too slow for the API,
// which then returns 503; the request is repeated after its Retry-After.
func (a *airlock) repeat(send func() response) response {
	a.t.Helper()
	got := send()
	for deadline := time.Now().Add(waitLimit); got.StatusCode == http.StatusServiceUnavailable && time.Now().Before(deadline); {
		seconds, err := strconv.Atoi(got.Header.Get("Retry-After"))
		require.NoError(a.t, err)
		time.Sleep(time.Duration(seconds) * time.Second)
		got = send()
	}
	return got
}

// get reads a resource.
func (a *airlock) get(path string, result any) {
	a.t.Helper()
	got := a.repeat(func() response { return a.do(http.MethodGet, path, "", nil) })
	require.Equal(a.t, http.StatusOK, got.StatusCode, "GET %s: %s", path, got.body)
	got.decode(a.t, result)
}

// post sends a body as JSON, unless it is nil, and requires a 202.
func (a *airlock) post(path string, body, result any) response {
	a.t.Helper()
	got := a.call(http.MethodPost, path, http.StatusAccepted, body)
	got.decode(a.t, result)
	return got
}

// cancel cancels an execution, a batch or a conversation by its URL.
func (a *airlock) cancel(url string) response {
	a.t.Helper()
	got := a.repeat(func() response { return a.do(http.MethodPost, url, "", nil) })
	require.Equal(a.t, http.StatusAccepted, got.StatusCode, "POST %s: %s", url, got.body)
	return got
}

func (a *airlock) awaitReady() {
	a.t.Helper()
	a.eventually("/readyz is 200", func() bool { return a.do(http.MethodGet, "/readyz", "", nil).StatusCode == http.StatusOK })
}

func (a *airlock) sendMessage(m contract.SendMessage) (accepted contract.AcceptedExecution) {
	a.t.Helper()
	a.post("/api/conversation", m, &accepted)
	return accepted
}

func (a *airlock) createAgent(c contract.CreateAgent) (created contract.Agent) {
	a.t.Helper()
	body, err := json.Marshal(c)
	require.NoError(a.t, err)
	header := http.Header{"Content-Type": {jsonType}, "Idempotency-Key": {rand.Text()}}
	got := a.repeat(func() response { return a.doWithHeader(http.MethodPost, "/agents", header, body) })
	require.Equal(a.t, http.StatusCreated, got.StatusCode, "POST /agents: %s", got.body)
	got.decode(a.t, &created)
	return created
}

func (a *airlock) runAgent(agentID, input string) contract.AcceptedExecution {
	a.t.Helper()
	return a.submitRun(agentID, contract.RunAgent{Input: input})
}

func (a *airlock) submitRun(agentID string, run contract.RunAgent) (accepted contract.AcceptedExecution) {
	a.t.Helper()
	a.post("/agents/"+agentID+"/run", run, &accepted)
	return accepted
}

func (a *airlock) getExecution(executionID string) (e contract.Execution) {
	a.t.Helper()
	a.get("/executions/"+executionID, &e)
	return e
}

// awaitExecution long-polls until the execution has finished.
func (a *airlock) awaitExecution(executionID string) contract.Execution {
	a.t.Helper()
	deadline := time.Now().Add(waitLimit)
	for {
		var e contract.Execution
		a.get("/executions/"+executionID+"?wait=30s", &e)
		if isFinished(e) {
			return e
		}
		require.True(a.t, time.Now().Before(deadline), "not finished: %+v", e)
	}
}

// awaitStatus waits until the execution has a status that it keeps for a while, such as running.
func (a *airlock) awaitStatus(executionID string, status contract.Status) {
	a.t.Helper()
	a.eventually(executionID+" is "+string(status), func() bool { return a.getExecution(executionID).Status == status })
}

// awaitAttempt waits until the n-th attempt of an execution has started.
func (a *airlock) awaitAttempt(executionID string, n int) {
	a.t.Helper()
	a.eventually("attempt "+strconv.Itoa(n)+" of "+executionID, func() bool { return a.getExecution(executionID).Attempt == n })
}

func isFinished(e contract.Execution) bool {
	return e.Status != contract.StatusQueued && e.Status != contract.StatusRunning
}
