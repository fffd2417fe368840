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

// crowd is what the clients of a soak share.
type soakTarget struct {
	recorder *history.Recorder
	http     *http.Client

	mu  sync.Mutex
	url string // of the API that is there now
}

func newSoakTarget(r *history.Recorder) *soakTarget {
	return &soakTarget{recorder: r, http: &http.Client{Timeout: 40 * time.Second}}
}

func (c *soakTarget) setURL(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.url = url
}

// ask sends a request, and returns an error where nobody answered or the answer was to come again.
func (c *soakTarget) request(ctx context.Context, method, path, contentType, body string, status int, result any) error {
	c.mu.Lock()
	url := c.url
	c.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, method, url+path, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
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
	if res.StatusCode != status {
		return &statusError{method + " " + path, res.StatusCode, string(data)}
	}
	return json.Unmarshal(data, result)
}

// unexpected is an answer that was not the wanted one.
type statusError struct {
	request string
	status  int
	body    string
}

func (e *statusError) Error() string { return fmt.Sprintf("%s: %d %s", e.request, e.status, e.body) }

// excused reports whether a client has to expect the error: nobody answered, or was told to come again.
func isExpectedError(err error) bool {
	var answer *statusError
	return !errors.As(err, &answer) || answer.status == http.StatusServiceUnavailable || answer.status == http.StatusTooManyRequests
}

// soakClient uses Airlock as an impatient person does.
type soakClient struct {
	*soakTarget
	random       *rand.Rand
	agent        string
	conversation string
	turns        int
	sent         int
}

// use goes on until the time is over, and returns what no client has to expect.
func (c *soakClient) loop(ctx context.Context, deadline time.Time) error {
	for time.Now().Before(deadline) {
		if err := c.doRandom(ctx); err != nil && !isExpectedError(err) {
			return err
		} else if err != nil {
			select { // as its Retry-After says
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

// post submits a run, and notes the promise.
func (c *soakClient) submit(ctx context.Context, input, answer string) (contract.AcceptedExecution, error) {
	var accepted contract.AcceptedExecution
	err := c.request(ctx, http.MethodPost, "/agents/"+c.agent+"/run", jsonType, fmt.Sprintf(`{"input":%q}`, input), http.StatusAccepted, &accepted)
	if err == nil {
		c.recorder.RecordAcceptance(history.Acceptance{Execution: accepted.ExecutionId, Text: answer})
	}
	return accepted, err
}

func (c *soakClient) run(ctx context.Context, input, answer string) error {
	accepted, err := c.submit(ctx, input, answer)
	if err != nil || c.random.IntN(4) == 0 {
		return err
	}
	return c.awaitFinish(ctx, accepted.ExecutionId)
}

// canceled cancels a run at a random moment of its life.
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
	if err := c.request(ctx, http.MethodPost, accepted.Urls.Cancel, "", "", http.StatusAccepted, &e); err != nil {
		return err
	}
	return c.awaitFinish(ctx, accepted.ExecutionId)
}

// turn goes on with a conversation, without waiting for the turn before.
func (c *soakClient) sendTurn(ctx context.Context) error {
	if c.turns%8 == 0 {
		c.conversation = ""
	}
	body, err := json.Marshal(contract.SendMessage{ConversationId: c.conversation, Message: fmt.Sprintf("message %d", c.sent)})
	if err != nil {
		return err
	}
	var accepted contract.AcceptedExecution
	if err := c.request(ctx, http.MethodPost, "/api/conversation", jsonType, string(body), http.StatusAccepted, &accepted); err != nil {
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

// batch submits one, of which one in three is cancelled.
func (c *soakClient) submitBatch(ctx context.Context) error {
	lines := strings.Repeat(`"one two"`+"\n", 1+c.random.IntN(40))
	var b contract.Batch
	if err := c.request(ctx, http.MethodPost, "/agents/"+c.agent+"/batches", linesType, lines, http.StatusAccepted, &b); err != nil {
		return err
	}
	c.recorder.RecordAcceptance(history.Acceptance{Batch: b.Id})
	if c.random.IntN(3) > 0 {
		return nil
	}
	return c.request(ctx, http.MethodPost, b.Urls.Cancel, "", "", http.StatusAccepted, &b)
}

// wait waits for an end, for as long as a person may, and notes what it was.
func (c *soakClient) awaitFinish(ctx context.Context, executionID string) error {
	for range 10 {
		var e contract.Execution
		if err := c.request(ctx, http.MethodGet, "/executions/"+executionID+"?wait=10s", "", "", http.StatusOK, &e); err != nil {
			return err
		}
		if isFinished(e) {
			c.recorder.RecordObservation(history.Observation{Execution: e.Id, Status: execution.Status(e.Status), Text: e.Result.Text})
			return nil
		}
	}
	return nil
}
