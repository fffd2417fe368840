package api

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// taggedResponse is a response of JSON with an ETag. The tag is a hash of the body, so every process makes the same
// one.
type taggedResponse struct {
	etag string
	body []byte // nil: only the tag is known
}

func newTaggedResponse(view any) (taggedResponse, error) {
	body, err := marshalJSON(view)
	if err != nil {
		return taggedResponse{}, err
	}
	sum := sha256.Sum256(body)
	return taggedResponse{etag: etagOf(sum[:15]), body: body}, nil
}

// etagOf returns the strong ETag of a content with this hash.
func etagOf(hash []byte) string { return `"` + base64.RawURLEncoding.EncodeToString(hash) + `"` }

// respond sends the response, or 304 if the client has it already.
func (t taggedResponse) respond(c echo.Context) error {
	h := c.Response().Header()
	h.Set(headerETag, t.etag)
	h.Set(headerCacheControl, "private, no-cache") // a client may store it, but must revalidate it each time
	if t.matches(c.Request()) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.JSONBlob(http.StatusOK, t.body)
}

// matches reports whether If-None-Match names this response. It uses the weak comparison that RFC 9110 demands.
func (t taggedResponse) matches(r *http.Request) bool {
	for _, header := range r.Header.Values(headerIfNoneMatch) {
		for candidate := range strings.SplitSeq(header, ",") {
			candidate = strings.TrimSpace(candidate)
			if candidate == "*" || strings.TrimPrefix(candidate, "W/") == t.etag {
				return true
			}
		}
	}
	return false
}

func respondWithETag(c echo.Context, view any) error {
	t, err := newTaggedResponse(view)
	if err != nil {
		return err
	}
	return t.respond(c)
}
