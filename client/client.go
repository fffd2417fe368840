// Package client calls an Airlock's HTTP API.
//
// Work is asynchronous there: what starts it answers at once with the ID of an
// execution, which is durable from then on. Wait gives its end:
//
//	airlock, err := client.New("http://127.0.0.1:8000")
//	…
//	accepted, err := airlock.Run(ctx, "agt_…", client.RunAgent{Input: "one two three"})
//	…
//	execution, err := airlock.Wait(ctx, accepted.ExecutionId)
//
// What the server refuses is a *Problem; that no server answered is
// ErrUnreachable. Requests that may be repeated are, a few times, also those
// that create something: each of them carries an Idempotency-Key.
package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml ../internal/api/contract/openapi.yaml

// ErrUnreachable means that no answer came. Whether the server has done what
// it was asked is not known.
var ErrUnreachable = errors.New("cannot reach the server")

// ErrAddress means that an address is not that of a server.
var ErrInvalidAddress = errors.New("the address must be a URL such as http://127.0.0.1:8000")

// Client calls one Airlock. It is safe for concurrent use.
type Client struct {
	baseURL string // without a slash at its end
	http    *http.Client
	header  http.Header
}

// Option changes a Client that is being made.
type Option func(*Client)

// WithKey has the client authenticate with an API key.
func WithAPIKey(key string) Option {
	return func(c *Client) { c.header.Set("Authorization", "Bearer "+key) }
}

// WithTenant says who calls, to a server that believes it (AIRLOCK_AUTH_MODE=dev).
func WithTenant(tenant string) Option {
	return func(c *Client) { c.header.Set("X-User-Id", tenant) }
}

// WithUserAgent puts the name of a program before the client's own.
func WithUserAgent(program string) Option {
	return func(c *Client) { c.header.Set("User-Agent", program+" "+userAgent) }
}

// WithHTTPClient has the requests sent by h, which must have no time-out of its
// own: long polls and streams are bounded by their contexts.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) { c.http = h }
}

const userAgent = "airlock-go"

// New returns a client of the Airlock at base, such as https://airlock.example.com.
func New(base string, options ...Option) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w, not %q", ErrInvalidAddress, base)
	}
	c := &Client{baseURL: strings.TrimRight(base, "/"), http: new(http.Client), header: http.Header{}}
	c.header.Set("User-Agent", userAgent)
	for _, option := range options {
		option(c)
	}
	return c, nil
}
