package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// IssueAPIKey issues an API key. Only this response contains its secret, so the request cannot have an Idempotency-Key
// and is sent once: if the response is lost, revoke the key and issue another one.
func (c *Client) IssueAPIKey(ctx context.Context, k IssueAPIKey) (IssuedAPIKey, error) {
	return doJSON[IssuedAPIKey](ctx, c, request{method: http.MethodPost, path: "/keys", body: k})
}

// APIKeys returns all API keys, without their secrets, the newest first.
func (c *Client) APIKeys(ctx context.Context) iter.Seq2[APIKey, error] {
	return paginate(ctx, c, "/keys", nil, func(l APIKeyList) ([]APIKey, NextCursor) { return l.Keys, l.NextCursor })
}

// RevokeAPIKey revokes an API key. Within seconds, the server refuses it.
func (c *Client) RevokeAPIKey(ctx context.Context, keyID string) error {
	_, err := doJSON[noContent](ctx, c, request{method: http.MethodDelete, path: "/keys/" + url.PathEscape(keyID)})
	return err
}
