package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// call is one request, which may be sent several times.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	body         any       // sent as JSON; nil: none
	stream       io.Reader // sent as it is, once; nil: none
	creates      bool      // carries an Idempotency-Key
}

const (
	tries = 4
	// most is the longest wait between two tries, also where the server asks for more.
	most = 10 * time.Second
)

// send sends a call and reads the answer, which is JSON, as a T.
func send[T any](ctx context.Context, c *Client, call call) (T, error) {
	var answer T
	res, err := c.open(ctx, call)
	if err != nil {
		return answer, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNoContent {
		return answer, nil
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return answer, fmt.Errorf("%s %s: the answer cannot be read: %w", call.method, call.path, err)
	}
	return answer, nil
}

// nothing is the answer that has no body.
type nothing struct{}

// open sends a call until it is answered, within reason, and returns an answer
// that is no refusal; its body is the caller's to close.
func (c *Client) open(ctx context.Context, call call) (*http.Response, error) {
	req, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	times := uint(tries)
	if call.stream != nil {
		times = 1
	}
	res, err := backoff.Retry(ctx, func() (*http.Response, error) { return c.once(req) },
		backoff.WithMaxTries(times), backoff.WithMaxElapsedTime(0), backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: most,
		}))
	var problem *Problem
	switch {
	case err == nil:
		return res, nil
	case errors.As(err, &problem):
		return nil, problem
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, err
	}
}

func (c *Client) request(ctx context.Context, call call) (*http.Request, error) {
	body := call.stream
	if call.body != nil {
		data, err := json.Marshal(call.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	target := c.base + call.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, call.method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header = c.header.Clone()
	req.Header.Set("Accept", "application/json")
	if call.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if call.creates {
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	for name, values := range call.header {
		req.Header[name] = values
	}
	return req, nil
}

// once sends a request once. An error that is not permanent may pass.
func (c *Client) once(req *http.Request) (*http.Response, error) {
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, backoff.Permanent(err)
		}
		req.Body = body
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if res.StatusCode < http.StatusBadRequest {
		return res, nil
	}
	defer res.Body.Close()
	problem := problemOf(res)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nil, later(problem, res.Header.Get("Retry-After"))
	default:
		return nil, backoff.Permanent(problem)
	}
}

// later tries again when the server says, where it does.
func later(problem *Problem, retryAfter string) error {
	seconds, err := strconv.Atoi(retryAfter)
	if err != nil || seconds < 1 {
		return problem
	}
	return errors.Join(problem, backoff.RetryAfter(min(seconds, int(most.Seconds()))))
}
