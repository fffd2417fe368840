package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// The methods of this file are the operator's. They need a client with the operator's key, or with WithOperator on a
// server without authentication; such a client can call nothing else.

// Me returns who the caller is. Every caller may ask.
func (c *Client) Me(ctx context.Context) (Caller, error) {
	return doJSON[Caller](ctx, c, request{method: http.MethodGet, path: "/me"})
}

// Status returns the health of each part of the installation, and how much work waits and runs.
func (c *Client) Status(ctx context.Context) (InstallationStatus, error) {
	return doJSON[InstallationStatus](ctx, c, request{method: http.MethodGet, path: "/status"})
}

// Executors returns all executors, by name.
func (c *Client) Executors(ctx context.Context) iter.Seq2[Executor, error] {
	return paginate(ctx, c, "/executors", nil, func(l ExecutorList) ([]Executor, NextCursor) { return l.Executors, l.NextCursor })
}

// DrainExecutor lets an executor take no more executions. What it runs goes on.
func (c *Client) DrainExecutor(ctx context.Context, name string) (Executor, error) {
	return c.executorAction(ctx, name, "drain")
}

// ResumeExecutor lets an executor take executions again.
func (c *Client) ResumeExecutor(ctx context.Context, name string) (Executor, error) {
	return c.executorAction(ctx, name, "resume")
}

func (c *Client) executorAction(ctx context.Context, name, action string) (Executor, error) {
	return doJSON[Executor](ctx, c, request{method: http.MethodPost, path: "/executors/" + url.PathEscape(name) + "/" + action, idempotent: true})
}

// Tenants returns all tenants that have settings or whose work has waited for a free slot, by name. With onlyWaiting it
// returns those whose work waits.
func (c *Client) Tenants(ctx context.Context, onlyWaiting bool) iter.Seq2[Tenant, error] {
	query := url.Values{}
	if onlyWaiting {
		query.Set("waiting", "true")
	}
	return paginate(ctx, c, "/tenants", query, func(l TenantList) ([]Tenant, NextCursor) { return l.Tenants, l.NextCursor })
}

// Tenant returns the settings, the limits and the work of a tenant. Every valid name has some.
func (c *Client) Tenant(ctx context.Context, name string) (TenantDetail, error) {
	return doJSON[TenantDetail](ctx, c, request{method: http.MethodGet, path: tenantPath(name)})
}

// UpdateTenant changes the settings of a tenant, see UpdateTenant of the API for the fields.
func (c *Client) UpdateTenant(ctx context.Context, name string, p Patch) (TenantDetail, error) {
	return doJSON[TenantDetail](ctx, c, request{
		method: http.MethodPatch, path: tenantPath(name), body: p, header: http.Header{"Content-Type": {"application/merge-patch+json"}},
	})
}

func tenantPath(name string) string { return "/tenants/" + url.PathEscape(name) }
