package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// IssueKey issues an API key. Its secret is in this answer and nowhere else,
// so that it is not asked for again where the answer is lost.
func (c *Client) IssueAPIKey(ctx context.Context, k IssueAPIKey) (IssuedAPIKey, error) {
	return doJSON[IssuedAPIKey](ctx, c, request{method: http.MethodPost, path: "/keys", body: k})
}

// Keys returns all keys, without their secrets, the newest first.
func (c *Client) APIKeys(ctx context.Context) iter.Seq2[APIKey, error] {
	return paginate(ctx, c, "/keys", nil, func(l APIKeyList) ([]APIKey, NextCursor) { return l.Keys, l.NextCursor })
}

// RevokeKey revokes a key; it is of no use within seconds.
func (c *Client) RevokeAPIKey(ctx context.Context, keyID string) error {
	_, err := doJSON[noContent](ctx, c, request{method: http.MethodDelete, path: "/keys/" + url.PathEscape(keyID)})
	return err
}
