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
	"time"

	"github.com/cenkalti/backoff/v5"
)

// request is one request, which may be sent several times.
type request struct {
	method, path   string
	query          url.Values
	header         http.Header
	body           any       // is sent as JSON; nil: no body
	stream         io.Reader // is sent as it is, and only once unless it is an io.Seeker; nil: no stream
	idempotencyKey bool      // the request gets a random Idempotency-Key, the same for all tries
	idempotent     bool      // a POST that changes nothing the second time, without such a key
}

// repeatable reports whether the request may be sent again when its outcome is unknown: it then takes effect once.
func (r request) repeatable() bool {
	if _, seekable := r.stream.(io.Seeker); r.stream != nil && !seekable {
		return false // it can be read only once
	}
	return r.method != http.MethodPost || r.idempotencyKey || r.idempotent
}

// firstRequestPause is the pause before a request is sent for the second time.
const firstRequestPause = 200 * time.Millisecond

// doJSON sends a request, with retries, and decodes the JSON of the response.
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
		return result, fmt.Errorf("%s %s: cannot read the response: %w", r.method, r.path, err)
	}
	return result, nil
}

// noContent is the response that has no body.
type noContent struct{}

// doWithRetry sends a request until the server has answered it, at most maxTries times, or once if it is not
// repeatable. It returns a response with a status below 400, whose body the caller must close, or an error: a *Problem,
// ErrUnreachable, or the cause for which ctx ended.
func (c *Client) doWithRetry(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.newHTTPRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	tries := maxTries
	if !r.repeatable() {
		tries = 1
	}
	res, err := retry(ctx, newRetries(firstRequestPause, tries), func() (*http.Response, error) { return c.do(req) })
	if err != nil {
		return nil, lastError(ctx, err)
	}
	return res, nil
}

// lastError returns what the caller is told after the last try.
func lastError(ctx context.Context, err error) error {
	var problem *Problem
	switch {
	case errors.As(err, &problem):
		return problem
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return err
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
	if seeker, ok := r.stream.(io.Seeker); ok {
		return req, rewindable(req, r.stream, seeker)
	}
	return req, nil
}

// rewindable makes a request send a stream from where it is now, each time, and tells the server its length.
func rewindable(req *http.Request, stream io.Reader, seeker io.Seeker) error {
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	end, err := seeker.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	req.ContentLength = end - start
	req.GetBody = func() (io.ReadCloser, error) {
		if req.ContentLength == 0 {
			return http.NoBody, nil
		}
		_, err := seeker.Seek(start, io.SeekStart)
		return io.NopCloser(stream), err
	}
	return nil
}

// do sends a request once. An error that another try could not change is permanent.
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
