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
type crowd struct {
	recorder *history.Recorder
	http     *http.Client

	mu  sync.Mutex
	url string // of the API that is there now
}

func newCrowd(r *history.Recorder) *crowd {
	return &crowd{recorder: r, http: &http.Client{Timeout: 40 * time.Second}}
}

func (c *crowd) setURL(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.url = url
}

// ask sends a request, and returns an error where nobody answered or the answer was to come again.
func (c *crowd) ask(ctx context.Context, method, path, contentType, body string, status int, result any) error {
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
		return &unexpected{method + " " + path, res.StatusCode, string(data)}
	}
	return json.Unmarshal(data, result)
}

// unexpected is an answer that was not the wanted one.
type unexpected struct {
	request string
	status  int
	body    string
}

func (e *unexpected) Error() string { return fmt.Sprintf("%s: %d %s", e.request, e.status, e.body) }

// excused reports whether a client has to expect the error: nobody answered, or was told to come again.
func excused(err error) bool {
	var answer *unexpected
	return !errors.As(err, &answer) || answer.status == http.StatusServiceUnavailable || answer.status == http.StatusTooManyRequests
}

// soakClient uses Airlock as an impatient person does.
type soakClient struct {
	*crowd
	random       *rand.Rand
	agent        string
	conversation string
	turns        int
	sent         int
}

// use goes on until the time is over, and returns what no client has to expect.
func (c *soakClient) use(ctx context.Context, over time.Time) error {
	for time.Now().Before(over) {
		if err := c.something(ctx); err != nil && !excused(err) {
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

func (c *soakClient) something(ctx context.Context) error {
	c.sent++
	switch c.random.IntN(12) {
	case 0:
		return c.batch(ctx)
	case 1, 2, 3:
		return c.turn(ctx)
	case 4:
		return c.run(ctx, `{"offline":{"sleep":"2s"}}`, "")
	case 5:
		return c.run(ctx, `{"offline":{"exit":3}}`, "")
	case 6:
		return c.canceled(ctx)
	default:
		input := fmt.Sprintf("%d words of %p", c.sent, c)
		return c.run(ctx, input, input)
	}
}

// post submits a run, and notes the promise.
func (c *soakClient) post(ctx context.Context, input, answer string) (contract.Accepted, error) {
	var accepted contract.Accepted
	err := c.ask(ctx, http.MethodPost, "/agents/"+c.agent+"/run", jsonType, fmt.Sprintf(`{"input":%q}`, input), http.StatusAccepted, &accepted)
	if err == nil {
		c.recorder.Promised(history.Promise{Execution: accepted.ExecutionId, Text: answer})
	}
	return accepted, err
}

func (c *soakClient) run(ctx context.Context, input, answer string) error {
	accepted, err := c.post(ctx, input, answer)
	if err != nil || c.random.IntN(4) == 0 {
		return err
	}
	return c.wait(ctx, accepted.ExecutionId)
}

// canceled cancels a run at a random moment of its life.
func (c *soakClient) canceled(ctx context.Context) error {
	accepted, err := c.post(ctx, `{"offline":{"sleep":"1s"}}`, "")
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Duration(c.random.Int64N(int64(2 * time.Second)))):
	case <-ctx.Done():
	}
	var e contract.Execution
	if err := c.ask(ctx, http.MethodPost, accepted.Urls.Cancel, "", "", http.StatusAccepted, &e); err != nil {
		return err
	}
	return c.wait(ctx, accepted.ExecutionId)
}

// turn goes on with a conversation, without waiting for the turn before.
func (c *soakClient) turn(ctx context.Context) error {
	if c.turns%8 == 0 {
		c.conversation = ""
	}
	body, err := json.Marshal(contract.SendMessage{ConversationId: c.conversation, Message: fmt.Sprintf("message %d", c.sent)})
	if err != nil {
		return err
	}
	var accepted contract.Accepted
	if err := c.ask(ctx, http.MethodPost, "/api/conversation", jsonType, string(body), http.StatusAccepted, &accepted); err != nil {
		return err
	}
	c.recorder.Promised(history.Promise{Execution: accepted.ExecutionId})
	c.conversation = accepted.ConversationId
	c.turns++
	if c.turns%4 != 0 {
		return nil
	}
	return c.wait(ctx, accepted.ExecutionId)
}

// batch submits one, of which one in three is cancelled.
func (c *soakClient) batch(ctx context.Context) error {
	lines := strings.Repeat(`"one two"`+"\n", 1+c.random.IntN(40))
	var b contract.Batch
	if err := c.ask(ctx, http.MethodPost, "/agents/"+c.agent+"/batches", linesType, lines, http.StatusAccepted, &b); err != nil {
		return err
	}
	c.recorder.Promised(history.Promise{Batch: b.Id})
	if c.random.IntN(3) > 0 {
		return nil
	}
	return c.ask(ctx, http.MethodPost, b.Urls.Cancel, "", "", http.StatusAccepted, &b)
}

// wait waits for an end, for as long as a person may, and notes what it was.
func (c *soakClient) wait(ctx context.Context, executionID string) error {
	for range 10 {
		var e contract.Execution
		if err := c.ask(ctx, http.MethodGet, "/executions/"+executionID+"?wait=10s", "", "", http.StatusOK, &e); err != nil {
			return err
		}
		if ended(e) {
			c.recorder.Saw(history.Sight{Execution: e.Id, Status: execution.Status(e.Status), Text: e.Result.Text})
			return nil
		}
	}
	return nil
}
