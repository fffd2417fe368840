package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// UsageQuery selects days and groups. An empty field is the server's default: the last 30 days, by day.
type UsageQuery struct {
	From, To string   // days of UTC, such as "2026-11-30", both included
	GroupBy  []string // of "day", "agent", "model", "kind", "lane", "label"
}

// Usage returns what the executions of some days have used.
func (c *Client) Usage(ctx context.Context, q UsageQuery) (UsageReport, error) {
	query := url.Values{}
	for name, value := range map[string]string{"from": q.From, "to": q.To, "groupBy": strings.Join(q.GroupBy, ",")} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return doJSON[UsageReport](ctx, c, request{method: http.MethodGet, path: "/usage", query: query})
}
