package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// IssueKey issues an API key. Its secret is in this answer and nowhere else,
// so that it is not asked for again where the answer is lost.
func (c *Client) IssueKey(ctx context.Context, k IssueKey) (IssuedKey, error) {
	return send[IssuedKey](ctx, c, call{method: http.MethodPost, path: "/keys", body: k})
}

// Keys returns all keys, without their secrets, the newest first.
func (c *Client) Keys(ctx context.Context) iter.Seq2[Key, error] {
	return pages(ctx, c, "/keys", nil, func(l KeyList) ([]Key, NextCursor) { return l.Keys, l.NextCursor })
}

// RevokeKey revokes a key; it is of no use within seconds.
func (c *Client) RevokeKey(ctx context.Context, keyID string) error {
	_, err := send[nothing](ctx, c, call{method: http.MethodDelete, path: "/keys/" + url.PathEscape(keyID)})
	return err
}
