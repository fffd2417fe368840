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
type request struct {
	method, path   string
	query          url.Values
	header         http.Header
	body           any       // sent as JSON; nil: none
	stream         io.Reader // sent as it is, once; nil: none
	idempotencyKey bool      // carries an Idempotency-Key
}

const (
	maxTries = 4
	// most is the longest wait between two tries, also where the server asks for more.
	maxRetryDelay = 10 * time.Second
)

// send sends a call and reads the answer, which is JSON, as a T.
func doJSON[T any](ctx context.Context, c *Client, r request) (T, error) {
	var result T
	res, err := c.doWithRetry(ctx, r)
	if err != nil {
		return result, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNoContent {
		return result, nil
	}
	if err := json.NewDecoder(res.Body).Decode(&result); err != nil {
		return result, fmt.Errorf("%s %s: the answer cannot be read: %w", r.method, r.path, err)
	}
	return result, nil
}

// nothing is the answer that has no body.
type noContent struct{}

// open sends a call until it is answered, within reason, and returns an answer
// that is no refusal; its body is the caller's to close.
func (c *Client) doWithRetry(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.newHTTPRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	attempts := uint(maxTries)
	if r.stream != nil {
		attempts = 1
	}
	res, err := backoff.Retry(ctx, func() (*http.Response, error) { return c.do(req) },
		backoff.WithMaxTries(attempts), backoff.WithMaxElapsedTime(0), backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: maxRetryDelay,
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

func (c *Client) newHTTPRequest(ctx context.Context, r request) (*http.Request, error) {
	body := r.stream
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	target := c.baseURL + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header = c.header.Clone()
	req.Header.Set("Accept", "application/json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.idempotencyKey {
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	return req, nil
}

// once sends a request once. An error that is not permanent may pass.
func (c *Client) do(req *http.Request) (*http.Response, error) {
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
	problem := parseProblem(res)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nil, withRetryAfter(problem, res.Header.Get("Retry-After"))
	default:
		return nil, backoff.Permanent(problem)
	}
}

// later tries again when the server says, where it does.
func withRetryAfter(problem *Problem, retryAfter string) error {
	seconds, err := strconv.Atoi(retryAfter)
	if err != nil || seconds < 1 {
		return problem
	}
	return errors.Join(problem, backoff.RetryAfter(min(seconds, int(maxRetryDelay.Seconds()))))
}
