package client

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

// Execution returns an execution in its present state.
func (c *Client) Execution(ctx context.Context, executionID string) (Execution, error) {
	return doJSON[Execution](ctx, c, request{method: http.MethodGet, path: executionPath(executionID)})
}

// Wait waits until an execution has ended, with success or without, and returns it. When ctx ends first, Wait returns
// its cause; the execution continues.
func (c *Client) Wait(ctx context.Context, executionID string) (Execution, error) {
	poll := request{method: http.MethodGet, path: executionPath(executionID), query: url.Values{"wait": {"30s"}}}
	for {
		e, err := doJSON[Execution](ctx, c, poll)
		if err != nil || e.Status.Terminal() {
			return e, err
		}
	}
}

// Terminal reports whether the status never changes again.
func (s Status) Terminal() bool { return s != StatusQueued && s != StatusRunning }

// Filter selects executions. An empty field selects all.
type Filter struct {
	Status         Status
	Kind           Kind
	AgentID        string
	ConversationID string
	BatchID        string
	Label          string // "name=value"
}

// Executions returns all executions that match the filter, the newest first.
func (c *Client) Executions(ctx context.Context, f Filter) iter.Seq2[Execution, error] {
	query := url.Values{}
	for name, value := range map[string]string{
		"status": string(f.Status), "kind": string(f.Kind), "label": f.Label,
		"agentId": f.AgentID, "conversationId": f.ConversationID, "batchId": f.BatchID,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return paginate(ctx, c, "/executions", query, func(l ExecutionList) ([]Execution, NextCursor) { return l.Executions, l.NextCursor })
}

// Cancel cancels an execution and returns it. A queued execution ends at once, a running one a moment later. To
// cancel an execution again, or after its end, changes nothing.
func (c *Client) Cancel(ctx context.Context, executionID string) (Execution, error) {
	return doJSON[Execution](ctx, c, request{method: http.MethodPost, path: executionPath(executionID) + "/cancel", idempotent: true})
}

// Attempts returns the attempts of an execution, the newest last and with the one that runs. Only the newest 50 are
// kept: Omitted counts the older ones.
func (c *Client) Attempts(ctx context.Context, executionID string) (AttemptList, error) {
	return doJSON[AttemptList](ctx, c, request{method: http.MethodGet, path: executionPath(executionID) + "/attempts"})
}

// Result returns the complete result of an execution, also if Execution.Result is truncated.
func (c *Client) Result(ctx context.Context, executionID string) (Result, error) {
	return doJSON[Result](ctx, c, request{method: http.MethodGet, path: executionPath(executionID) + "/result"})
}

// File opens an output file. Its path is one of Execution.Files. The caller must close the file.
func (c *Client) File(ctx context.Context, executionID, path string) (io.ReadCloser, error) {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	res, err := c.doWithRetry(ctx, request{method: http.MethodGet, path: executionPath(executionID) + "/files/" + strings.Join(parts, "/")})
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// Workspace opens the files that the job of an execution left in its working folder: a tar that is compressed with
// zstd. The caller must close it.
func (c *Client) Workspace(ctx context.Context, executionID string) (io.ReadCloser, error) {
	res, err := c.doWithRetry(ctx, request{method: http.MethodGet, path: executionPath(executionID) + "/workspace"})
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func executionPath(executionID string) string { return "/executions/" + url.PathEscape(executionID) }

// Retry runs an execution that ended without success again, as a new execution.
func (c *Client) Retry(ctx context.Context, executionID string) (AcceptedExecution, error) {
	return doJSON[AcceptedExecution](ctx, c, request{method: http.MethodPost, path: executionPath(executionID) + "/retry", idempotencyKey: true})
}
