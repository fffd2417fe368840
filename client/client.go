// Package client calls the HTTP API of an Airlock server.
//
// Work is asynchronous: a call that starts an execution returns its ID at once. From then on the execution is
// durable. Wait waits for its end:
//
//	airlock, err := client.New("http://127.0.0.1:8000")
//	…
//	accepted, err := airlock.Run(ctx, "agt_…", client.RunAgent{Input: "one two three"})
//	…
//	execution, err := airlock.Wait(ctx, accepted.ExecutionId)
//
// A request that the server refuses returns a *Problem; without a response it returns ErrUnreachable. After errors
// that may be temporary a request is sent again, at most four times in all. Requests that create something carry an
// Idempotency-Key, so that a repeated request creates nothing twice. A POST that cannot have one is sent once
// (IssueAPIKey), unless the second time changes nothing (Cancel, CancelBatch).
//
// The types are generated from the OpenAPI document of the API. The package stores nothing and starts no goroutines.
package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml ../internal/api/contract/openapi.yaml

// ErrUnreachable means that there was no response. The server may have done what the request asked for.
var ErrUnreachable = errors.New("cannot reach the server")

// ErrInvalidAddress means that New received an address that is not the URL of a server.
var ErrInvalidAddress = errors.New("the address must be a URL such as http://127.0.0.1:8000")

// Client calls one server. It is safe for concurrent use.
type Client struct {
	baseURL string // without a slash at the end
	http    *http.Client
	header  http.Header
}

// Option is a setting of a Client.
type Option func(*Client)

// WithAPIKey authenticates requests with an API key.
func WithAPIKey(key string) Option {
	return func(c *Client) { c.header.Set("Authorization", "Bearer "+key) }
}

// WithTenant names the tenant. Only a server with AIRLOCK_AUTH_MODE=dev trusts it.
func WithTenant(tenant string) Option {
	return func(c *Client) { c.header.Set("X-User-Id", tenant) }
}

// WithOperator makes the client the operator's on a server that does not authenticate callers. Other servers know the
// operator by the key (WithAPIKey) and ignore this.
func WithOperator() Option {
	return func(c *Client) { c.header.Set("X-Operator", "true") }
}

// WithUserAgent puts the name of a program before the client's own User-Agent.
func WithUserAgent(program string) Option {
	return func(c *Client) { c.header.Set("User-Agent", program+" "+userAgent) }
}

// WithHTTPClient sends the requests with h. It must have no time-out, because long polls and streams are bounded by
// their contexts only.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) { c.http = h }
}

const userAgent = "airlock-go"

// New returns a client of the server at baseURL, such as https://airlock.example.com.
func New(baseURL string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w, not %q", ErrInvalidAddress, baseURL)
	}
	c := &Client{baseURL: strings.TrimRight(baseURL, "/"), http: new(http.Client), header: http.Header{}}
	c.header.Set("User-Agent", userAgent)
	for _, option := range options {
		option(c)
	}
	return c, nil
}
