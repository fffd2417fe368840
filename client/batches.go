package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// SubmitBatch has an agent run on many inputs: lines holds one a line, as a
// JSON string or as {"input": …}. It is sent once, as a stream.
func (c *Client) SubmitBatch(ctx context.Context, agentID string, lines io.Reader) (Batch, error) {
	return doJSON[Batch](ctx, c, request{
		method: http.MethodPost, path: agentPath(agentID) + "/batches", stream: lines, idempotencyKey: true,
		header: http.Header{"Content-Type": {"application/jsonl"}},
	})
}

// Batch returns a batch with its progress.
func (c *Client) Batch(ctx context.Context, batchID string) (Batch, error) {
	return doJSON[Batch](ctx, c, request{method: http.MethodGet, path: batchPath(batchID)})
}

// Batches returns all batches, the newest first, without their progress.
func (c *Client) Batches(ctx context.Context) iter.Seq2[Batch, error] {
	return paginate(ctx, c, "/batches", nil, func(l BatchList) ([]Batch, NextCursor) { return l.Batches, l.NextCursor })
}

// CancelBatch cancels what is left of a batch.
func (c *Client) CancelBatch(ctx context.Context, batchID string) (Batch, error) {
	return doJSON[Batch](ctx, c, request{method: http.MethodPost, path: batchPath(batchID) + "/cancel"})
}

// RetryBatch runs the inputs that failed or timed out again, as a new batch.
func (c *Client) RetryBatch(ctx context.Context, batchID string) (Batch, error) {
	return doJSON[Batch](ctx, c, request{method: http.MethodPost, path: batchPath(batchID) + "/retry", idempotencyKey: true})
}

// Results returns the results of a batch in input order, up to the first that
// is not there yet. With follow it waits for those, to the end of the batch,
// and goes on where it was when a connection breaks.
func (c *Client) Results(ctx context.Context, batchID string, follow bool) iter.Seq2[BatchResult, error] {
	return func(yield func(BatchResult, error) bool) {
		next, total := 0, 0 // without follow, the end of an answer is all that there is
		streamWithResume(ctx, yield, func(emit func(BatchResult) bool) (ended bool, err error) {
			if follow && total == 0 {
				b, err := c.Batch(ctx, batchID)
				if err != nil {
					return false, err
				}
				total = b.Total
			}
			n, err := c.readResults(ctx, batchID, next, follow, emit)
			next += n
			return next >= total, err
		})
	}
}

// results passes on the results from index next, and returns how many it has.
func (c *Client) readResults(ctx context.Context, batchID string, next int, follow bool, emit func(BatchResult) bool) (int, error) {
	query := url.Values{"follow": {strconv.FormatBool(follow)}}
	if next > 0 {
		query.Set("after", strconv.Itoa(next-1))
	}
	res, err := c.doWithRetry(ctx, request{method: http.MethodGet, path: batchPath(batchID) + "/results", query: query})
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	decoder := json.NewDecoder(res.Body)
	for emitted := 0; ; emitted++ {
		var r BatchResult
		err := decoder.Decode(&r)
		switch {
		case errors.Is(err, io.EOF):
			return emitted, nil
		case ctx.Err() != nil:
			return emitted, context.Cause(ctx)
		case err != nil:
			return emitted, fmt.Errorf("%w: %w", errStreamInterrupted, err)
		case !emit(r):
			return emitted + 1, nil
		}
	}
}

func batchPath(batchID string) string { return "/batches/" + url.PathEscape(batchID) }
