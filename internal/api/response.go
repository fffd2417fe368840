package api

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// Headers that echo has no names for.
const (
	headerCacheControl      = "Cache-Control"
	headerETag              = "ETag"
	headerIfNoneMatch       = "If-None-Match"
	headerPrefer            = "Prefer"
	headerPreferenceApplied = "Preference-Applied"
)

func respondJSON(c echo.Context, status int, body any) error {
	return writeJSON(c, status, echo.MIMEApplicationJSON, body)
}

func writeJSON(c echo.Context, status int, contentType string, body any) error {
	data, err := marshalJSON(body)
	if err != nil {
		return err
	}
	return c.Blob(status, contentType, data)
}

// marshalJSON encodes a response. The same value gives the same bytes: ETags and repeated requests depend on it.
func marshalJSON(body any) ([]byte, error) {
	data, err := json.Marshal(body, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
	return append(data, '\n'), err
}
