package api

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// Headers of conditional requests that echo has no names for.
const (
	headerETag         = "ETag"
	headerIfNoneMatch  = "If-None-Match"
	headerCacheControl = "Cache-Control"
)

// tagged is an answer of JSON that a caller need not be sent twice. Its tag is
// that of the content, and so the same in every process.
type taggedResponse struct {
	etag string
	body []byte // nil: not kept, only the tag is known
}

func newTaggedResponse(view any) (taggedResponse, error) {
	body, err := marshalJSON(view)
	if err != nil {
		return taggedResponse{}, err
	}
	sum := sha256.Sum256(body)
	return taggedResponse{etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`, body: body}, nil
}

// answer sends the answer, or 304 where the caller has it.
func (t taggedResponse) respond(c echo.Context) error {
	h := c.Response().Header()
	h.Set(headerETag, t.etag)
	h.Set(headerCacheControl, "private, no-cache") // may be kept, but asked about each time
	if t.matches(c.Request()) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.JSONBlob(http.StatusOK, t.body)
}

// known reports whether the caller has this answer, by the weak comparison
// that RFC 9110 has for If-None-Match.
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

// answerTagged answers with a resource that may be asked about again.
func respondWithETag(c echo.Context, view any) error {
	t, err := newTaggedResponse(view)
	if err != nil {
		return err
	}
	return t.respond(c)
}

func marshalJSON(view any) ([]byte, error) {
	data, err := json.Marshal(view, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
	return append(data, '\n'), err
}
