package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// CreateAgent creates an agent.
func (c *Client) CreateAgent(ctx context.Context, a CreateAgent) (Agent, error) {
	return doJSON[Agent](ctx, c, request{method: http.MethodPost, path: "/agents", body: a, idempotencyKey: true})
}

// Agent returns an agent.
func (c *Client) Agent(ctx context.Context, agentID string) (Agent, error) {
	return doJSON[Agent](ctx, c, request{method: http.MethodGet, path: agentPath(agentID)})
}

// Agents returns all agents, the newest first.
func (c *Client) Agents(ctx context.Context) iter.Seq2[Agent, error] {
	return paginate(ctx, c, "/agents", nil, func(l AgentList) ([]Agent, NextCursor) { return l.Agents, l.NextCursor })
}

// Patch is a JSON Merge Patch (RFC 7396): absent fields stay as they are, and nil resets a field to its default. With
// the field version it applies only to that version of the agent.
type Patch map[string]any

// UpdateAgent changes an agent and returns the changed agent.
func (c *Client) UpdateAgent(ctx context.Context, agentID string, p Patch) (Agent, error) {
	return doJSON[Agent](ctx, c, request{
		method: http.MethodPatch, path: agentPath(agentID), body: p, header: http.Header{"Content-Type": {"application/merge-patch+json"}},
	})
}

// AgentVersion returns an agent as it was in a version. UpdateAgent with its fields takes the agent back.
func (c *Client) AgentVersion(ctx context.Context, agentID string, version int) (Agent, error) {
	return doJSON[Agent](ctx, c, request{method: http.MethodGet, path: agentPath(agentID) + "/versions/" + strconv.Itoa(version)})
}

// AgentVersions returns the versions of an agent, the newest first.
func (c *Client) AgentVersions(ctx context.Context, agentID string) iter.Seq2[AgentVersion, error] {
	return paginate(ctx, c, agentPath(agentID)+"/versions", nil, func(l AgentVersionList) ([]AgentVersion, NextCursor) {
		return l.Versions, l.NextCursor
	})
}

// DeleteAgent deletes an agent. Its accepted executions still run.
func (c *Client) DeleteAgent(ctx context.Context, agentID string) error {
	_, err := doJSON[noContent](ctx, c, request{method: http.MethodDelete, path: agentPath(agentID)})
	return err
}

// Run runs an agent once.
func (c *Client) Run(ctx context.Context, agentID string, r RunAgent) (AcceptedExecution, error) {
	return doJSON[AcceptedExecution](ctx, c, request{method: http.MethodPost, path: agentPath(agentID) + "/run", body: r, idempotencyKey: true})
}

func agentPath(agentID string) string { return "/agents/" + url.PathEscape(agentID) }
