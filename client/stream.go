package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// errStreamInterrupted means that a stream ended before its last item.
var errStreamInterrupted = errors.New("the response was interrupted")

// firstStreamPause is the pause before an interrupted stream is opened again. It is longer than that of a request,
// because a stream is often interrupted by a server that restarts.
const firstStreamPause = 2 * time.Second

// stream is a list that the server sends in the body of one response, and can continue after any item.
type stream[T any] struct {
	request  func() request                                // asks for the items after those that were received
	decode   func(body io.Reader) (next func() (T, error)) // next returns io.EOF at the end of the body
	received func(T)                                       // is called with each item
	complete func() bool                                   // reports whether the received items are all
}

// items returns the items of the stream. A stream that is interrupted, or cannot be opened, is opened again. Without a
// new item it gives up when it would need more than maxTries connections.
func (s stream[T]) items(ctx context.Context, c *Client) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r := newRetries(firstStreamPause, maxTries)
		_, err := retry(ctx, r, func() (noContent, error) {
			return noContent{}, s.read(ctx, c, func(item T) bool {
				r.restart()
				return yield(item, nil)
			})
		})
		if err != nil {
			var zero T
			yield(zero, lastError(ctx, err))
		}
	}
}

// read reads one response. It returns nil when the stream is complete or yield returns false.
func (s stream[T]) read(ctx context.Context, c *Client, yield func(T) bool) error {
	req, err := c.newHTTPRequest(ctx, s.request())
	if err != nil {
		return backoff.Permanent(err)
	}
	res, err := c.do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNoContent {
		return nil // no item follows those that were received
	}
	next := s.decode(res.Body)
	for {
		item, err := next()
		switch {
		case errors.Is(err, io.EOF) && s.complete():
			return nil
		case errors.Is(err, io.EOF):
			return errStreamInterrupted // the server is shutting down
		case err != nil:
			return fmt.Errorf("%w: %w", errStreamInterrupted, err)
		}
		s.received(item)
		if !yield(item) {
			return nil
		}
	}
}
