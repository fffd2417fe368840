package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
)

// apiVersion matches a version of the Messages API. Any other value is replaced with defaultVersion.
var apiVersion = regexp.MustCompile(`^20\d\d-\d\d-\d\d$`)

const defaultVersion = "2023-06-01"

// maxHeaderValue bounds the value of a forwarded header, in bytes.
const maxHeaderValue = 1 << 10

// newUpstreamRequest builds the upstream request from scratch. Of the sandbox's headers it takes only the API's version
// and its betas, both validated, and those that the runtime declares. It calls sent before the last byte of the body is
// sent, possibly several times and in another goroutine.
func (e *Endpoint) newUpstreamRequest(ctx context.Context, r *http.Request, route Route, body []byte, sent func()) (*http.Request, error) {
	config := e.gateway.config
	target := *config.Upstream
	original := r.URL // parsed from a target that is equal to a route of the runtime
	target.Path, target.RawQuery = joinPath(target.Path, original.Path), original.RawQuery

	request, err := http.NewRequestWithContext(ctx, route.Method, target.String(), nil)
	if err != nil {
		return nil, err
	}
	// The transport calls GetBody if it has to send the request again, because an idle connection was closed.
	request.GetBody = func() (io.ReadCloser, error) {
		return io.NopCloser(sentBody{bytes.NewReader(body), sent}), nil
	}
	request.Body, _ = request.GetBody()
	request.ContentLength = int64(len(body))
	request.Header = http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json, text/event-stream"},
		"User-Agent":   {"airlock-gateway"},
	}
	e.gateway.spec.setAuth(request.Header, r.Header, config.APIKey)
	for _, name := range e.policy.Headers {
		if value := r.Header.Get(name); value != "" && len(value) <= maxHeaderValue && request.Header.Get(name) == "" {
			request.Header.Set(name, value)
		}
	}
	if betas := e.policy.filterBetas(r); betas != "" {
		request.Header.Set("Anthropic-Beta", betas)
	}
	return request, nil
}

// sentBody is the body of an upstream request. It calls sent when the transport takes the last byte. A trace of the
// transport would report it later, perhaps after the call has been canceled.
type sentBody struct {
	rest *bytes.Reader
	sent func()
}

func (b sentBody) Read(p []byte) (int, error) {
	n, err := b.rest.Read(p)
	if b.rest.Len() == 0 {
		b.sent()
	}
	return n, err
}

func joinPath(base, path string) string {
	for len(base) > 0 && base[len(base)-1] == '/' {
		base = base[:len(base)-1]
	}
	return base + path
}
