package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// SubmitBatch runs an agent on many inputs. Each line is one input: a JSON string, or an object {"input": …}. The
// lines are sent as a stream, so the request is retried only if they are an io.Seeker. All inputs use the newest
// version of the agent.
func (c *Client) SubmitBatch(ctx context.Context, agentID string, lines io.Reader) (Batch, error) {
	return c.SubmitBatchOfVersion(ctx, agentID, 0, lines)
}

// SubmitBatchOfVersion is SubmitBatch with a version of the agent; 0 is the newest.
func (c *Client) SubmitBatchOfVersion(ctx context.Context, agentID string, version int, lines io.Reader) (Batch, error) {
	return c.SubmitBatchWith(ctx, agentID, BatchOptions{AgentVersion: version}, lines)
}

// BatchOptions say how the inputs of a batch run. The zero value means the newest version of the agent, and its own
// environment.
type BatchOptions struct {
	AgentVersion  int
	EnvironmentID string
}

// SubmitBatchWith is SubmitBatch with options.
func (c *Client) SubmitBatchWith(ctx context.Context, agentID string, o BatchOptions, lines io.Reader) (Batch, error) {
	query := url.Values{}
	if o.AgentVersion != 0 {
		query.Set("agentVersion", strconv.Itoa(o.AgentVersion))
	}
	if o.EnvironmentID != "" {
		query.Set("environmentId", o.EnvironmentID)
	}
	return doJSON[Batch](ctx, c, request{
		method: http.MethodPost, path: agentPath(agentID) + "/batches", query: query, stream: lines, idempotencyKey: true,
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

// CancelBatch cancels the executions of a batch that have not ended.
func (c *Client) CancelBatch(ctx context.Context, batchID string) (Batch, error) {
	return doJSON[Batch](ctx, c, request{method: http.MethodPost, path: batchPath(batchID) + "/cancel", idempotent: true})
}

// RetryBatch runs the inputs that failed or timed out again, as a new batch.
func (c *Client) RetryBatch(ctx context.Context, batchID string) (Batch, error) {
	return doJSON[Batch](ctx, c, request{method: http.MethodPost, path: batchPath(batchID) + "/retry", idempotencyKey: true})
}

// Results returns the results of a batch in the order of its inputs, up to the first that does not exist yet. With
// follow it waits for all of them. After an interruption it continues with the next result.
func (c *Client) Results(ctx context.Context, batchID string, follow bool) iter.Seq2[BatchResult, error] {
	return func(yield func(BatchResult, error) bool) {
		received, total := 0, 0 // without follow, the end of a response is the end
		if follow {
			b, err := c.Batch(ctx, batchID)
			if err != nil {
				yield(BatchResult{}, err)
				return
			}
			total = b.Total
		}
		stream[BatchResult]{
			request: func() request {
				query := url.Values{"follow": {strconv.FormatBool(follow)}}
				if received > 0 {
					query.Set("after", strconv.Itoa(received-1))
				}
				return request{method: http.MethodGet, path: batchPath(batchID) + "/results", query: query}
			},
			decode:   decodeResults,
			received: func(BatchResult) { received++ },
			complete: func() bool { return received >= total },
		}.items(ctx, c)(yield)
	}
}

func decodeResults(body io.Reader) func() (BatchResult, error) {
	decoder := json.NewDecoder(body)
	return func() (r BatchResult, err error) {
		err = decoder.Decode(&r)
		return r, err
	}
}

func batchPath(batchID string) string { return "/batches/" + url.PathEscape(batchID) }
