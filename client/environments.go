package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// CreateEnvironment creates an environment.
func (c *Client) CreateEnvironment(ctx context.Context, e CreateEnvironment) (Environment, error) {
	return doJSON[Environment](ctx, c, request{method: http.MethodPost, path: "/environments", body: e, idempotencyKey: true})
}

// Environment returns an environment.
func (c *Client) Environment(ctx context.Context, environmentID string) (Environment, error) {
	return doJSON[Environment](ctx, c, request{method: http.MethodGet, path: environmentPath(environmentID)})
}

// Environments returns all environments, the newest first.
func (c *Client) Environments(ctx context.Context) iter.Seq2[Environment, error] {
	return paginate(ctx, c, "/environments", nil, func(l EnvironmentList) ([]Environment, NextCursor) { return l.Environments, l.NextCursor })
}

// UpdateEnvironment changes an environment and returns the changed environment.
func (c *Client) UpdateEnvironment(ctx context.Context, environmentID string, p Patch) (Environment, error) {
	return doJSON[Environment](ctx, c, request{
		method: http.MethodPatch, path: environmentPath(environmentID), body: p, header: http.Header{"Content-Type": {"application/merge-patch+json"}},
	})
}

// EnvironmentVersion returns an environment as it was in a version.
func (c *Client) EnvironmentVersion(ctx context.Context, environmentID string, version int) (Environment, error) {
	return doJSON[Environment](ctx, c, request{method: http.MethodGet, path: environmentPath(environmentID) + "/versions/" + strconv.Itoa(version)})
}

// EnvironmentVersions returns the versions of an environment, the newest first.
func (c *Client) EnvironmentVersions(ctx context.Context, environmentID string) iter.Seq2[EnvironmentVersion, error] {
	return paginate(ctx, c, environmentPath(environmentID)+"/versions", nil, func(l EnvironmentVersionList) ([]EnvironmentVersion, NextCursor) {
		return l.Versions, l.NextCursor
	})
}

// DeleteEnvironment deletes an environment. Executions that were accepted before still run in it.
func (c *Client) DeleteEnvironment(ctx context.Context, environmentID string) error {
	_, err := doJSON[noContent](ctx, c, request{method: http.MethodDelete, path: environmentPath(environmentID)})
	return err
}

func environmentPath(environmentID string) string {
	return "/environments/" + url.PathEscape(environmentID)
}
