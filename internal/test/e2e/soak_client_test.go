package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/test/history"
)

// soakTarget is the API that all clients of a soak use.
type soakTarget struct {
	recorder *history.Recorder
	http     *http.Client

	mu  sync.Mutex
	url string // of the current API process
}

func newSoakTarget(r *history.Recorder) *soakTarget {
	return &soakTarget{recorder: r, http: &http.Client{Timeout: 40 * time.Second}}
}

func (c *soakTarget) setURL(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.url = url
}

// apiRequest is one request. It has a body if contentType is set.
type apiRequest struct {
	method, path      string
	contentType, body string
	status            int // of a success
}

// send sends a request of the client's tenant and decodes its response. It returns a statusError for another status.
func (c *soakClient) send(ctx context.Context, r apiRequest, result any) error {
	c.mu.Lock()
	url := c.url
	c.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, r.method, url+r.path, bytes.NewBufferString(r.body))
	if err != nil {
		return err
	}
	req.Header.Set("X-User-Id", c.tenant)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != r.status {
		return &statusError{r.method + " " + r.path, res.StatusCode, string(data)}
	}
	return json.Unmarshal(data, result)
}

// statusError is a response with an unexpected status.
type statusError struct {
	request string
	status  int
	body    string
}

func (e *statusError) Error() string { return fmt.Sprintf("%s: %d %s", e.request, e.status, e.body) }

// isExpectedError reports whether a client must expect the error: there was no response, or one with Retry-After.
func isExpectedError(err error) bool {
	var unexpected *statusError
	return !errors.As(err, &unexpected) || unexpected.status == http.StatusServiceUnavailable || unexpected.status == http.StatusTooManyRequests
}

// soakClient sends random requests, mostly without waiting for the previous ones.
type soakClient struct {
	*soakTarget
	random       *rand.Rand
	tenant       string
	agent        string
	conversation string
	turns        int
	sent         int
	last         string // run of a flood
}

// loop sends requests until the deadline: do sends some of them. It returns an error that a client must not expect.
func (c *soakClient) loop(ctx context.Context, deadline time.Time, do func(context.Context) error) error {
	for time.Now().Before(deadline) {
		if err := do(ctx); err != nil && !isExpectedError(err) {
			return err
		} else if err != nil {
			select { // before the next request, as Retry-After says
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (c *soakClient) doRandom(ctx context.Context) error {
	c.sent++
	switch c.random.IntN(12) {
	case 0:
		return c.submitBatch(ctx)
	case 1, 2, 3:
		return c.sendTurn(ctx)
	case 4:
		return c.run(ctx, `{"offline":{"sleep":"2s"}}`, "")
	case 5:
		return c.run(ctx, `{"offline":{"exit":3}}`, "")
	case 6:
		return c.cancelRun(ctx)
	default:
		input := fmt.Sprintf("%d words of %p", c.sent, c)
		return c.run(ctx, input, input)
	}
}

// flood submits as many runs and batches as the API accepts until floodBacklog of them wait, and goes on when the last
// run has finished.
func (c *soakClient) flood(ctx context.Context) error {
	if c.last != "" {
		if finished, err := c.observe(ctx, c.last); err != nil || !finished {
			return err
		}
	}
	c.last = ""
	if err := c.submitBatch(ctx); err != nil {
		return err
	}
	var last string
	for range floodBacklog {
		c.sent++
		input := fmt.Sprintf("%d words of %p", c.sent, c)
		accepted, err := c.submit(ctx, input, input)
		if err != nil {
			return err
		}
		last = accepted.ExecutionId
	}
	c.last = last
	return nil
}

// submit submits a run and records its acceptance with the expected result; empty: unknown.
func (c *soakClient) submit(ctx context.Context, input, result string) (contract.AcceptedExecution, error) {
	var accepted contract.AcceptedExecution
	err := c.send(ctx, apiRequest{
		method: http.MethodPost, path: "/agents/" + c.agent + "/run", status: http.StatusAccepted,
		contentType: jsonType, body: fmt.Sprintf(`{"input":%q}`, input),
	}, &accepted)
	if err == nil {
		c.recorder.RecordAcceptance(history.Acceptance{Execution: accepted.ExecutionId, Text: result})
	}
	return accepted, err
}

func (c *soakClient) run(ctx context.Context, input, result string) error {
	accepted, err := c.submit(ctx, input, result)
	if err != nil || c.random.IntN(4) == 0 {
		return err
	}
	return c.awaitFinish(ctx, accepted.ExecutionId)
}

// cancelRun submits a run and cancels it at a random time.
func (c *soakClient) cancelRun(ctx context.Context) error {
	accepted, err := c.submit(ctx, `{"offline":{"sleep":"1s"}}`, "")
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Duration(c.random.Int64N(int64(2 * time.Second)))):
	case <-ctx.Done():
	}
	var e contract.Execution
	if err := c.send(ctx, apiRequest{method: http.MethodPost, path: accepted.Urls.Cancel, status: http.StatusAccepted}, &e); err != nil {
		return err
	}
	return c.awaitFinish(ctx, accepted.ExecutionId)
}

// sendTurn continues a conversation without waiting for the previous turn.
func (c *soakClient) sendTurn(ctx context.Context) error {
	if c.turns%8 == 0 {
		c.conversation = ""
	}
	body, err := json.Marshal(contract.SendMessage{ConversationId: c.conversation, Message: fmt.Sprintf("message %d", c.sent)})
	if err != nil {
		return err
	}
	var accepted contract.AcceptedExecution
	if err := c.send(ctx, apiRequest{
		method: http.MethodPost, path: "/api/conversation", status: http.StatusAccepted, contentType: jsonType, body: string(body),
	}, &accepted); err != nil {
		return err
	}
	c.recorder.RecordAcceptance(history.Acceptance{Execution: accepted.ExecutionId})
	c.conversation = accepted.ConversationId
	c.turns++
	if c.turns%4 != 0 {
		return nil
	}
	return c.awaitFinish(ctx, accepted.ExecutionId)
}

// submitBatch submits a batch, and cancels one of three.
func (c *soakClient) submitBatch(ctx context.Context) error {
	lines := strings.Repeat(`"one two"`+"\n", 1+c.random.IntN(40))
	var b contract.Batch
	if err := c.send(ctx, apiRequest{
		method: http.MethodPost, path: "/agents/" + c.agent + "/batches", status: http.StatusAccepted, contentType: linesType, body: lines,
	}, &b); err != nil {
		return err
	}
	c.recorder.RecordAcceptance(history.Acceptance{Batch: b.Id})
	if c.random.IntN(3) > 0 {
		return nil
	}
	return c.send(ctx, apiRequest{method: http.MethodPost, path: b.Urls.Cancel, status: http.StatusAccepted}, &b)
}

// awaitFinish waits for the final state for a limited time, and records it.
func (c *soakClient) awaitFinish(ctx context.Context, executionID string) error {
	for range 10 {
		if finished, err := c.observe(ctx, executionID); err != nil || finished {
			return err
		}
	}
	return nil
}

// observe waits for the final state for 10 s, and records it.
func (c *soakClient) observe(ctx context.Context, executionID string) (finished bool, err error) {
	var e contract.Execution
	if err := c.send(ctx, apiRequest{method: http.MethodGet, path: "/executions/" + executionID + "?wait=10s", status: http.StatusOK}, &e); err != nil {
		return false, err
	}
	if isFinished(e) {
		c.recorder.RecordObservation(history.Observation{Execution: e.Id, Status: execution.Status(e.Status), Text: e.Result.Text})
	}
	return isFinished(e), nil
}
