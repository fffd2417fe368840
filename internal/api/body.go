package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Bounds of what a request may hold, in bytes. A message of maxText can be
// several times as long once it is escaped in JSON.
const (
	maxBodyBytes = 2 << 20
	maxTextBytes = 256 << 10
)

// readThrough reads what a GET has for a body, which means nothing to any of
// them: before its end net/http does not notice that the client has gone.
func discardGetBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if r := c.Request(); r.Method == http.MethodGet {
			if _, err := io.Copy(io.Discard, http.MaxBytesReader(c.Response(), r.Body, maxBodyBytes)); err != nil {
				return invalidRequest(fieldError("body", "is far too much for a GET, which takes none"))
			}
		}
		return next(c)
	}
}

// readJSON reads the request's body into v, strictly: one JSON object in
// valid UTF-8 without unknown or repeated members, and nothing after it. media
// are the types that it may be sent as, beside application/json.
func readJSON(c echo.Context, v any, mediaTypes ...string) error {
	r := c.Request()
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); err != nil || mediaType != echo.MIMEApplicationJSON && !slices.Contains(mediaTypes, mediaType) {
		return &problem{Status: http.StatusUnsupportedMediaType, Code: contract.ProblemUnsupportedMediaType, Detail: "Send the body as JSON, with the header Content-Type: application/json."}
	}
	body := http.MaxBytesReader(c.Response(), r.Body, maxBodyBytes)
	data, err := io.ReadAll(body)
	if err == nil {
		err = json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	}
	var tooLarge *http.MaxBytesError
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case err == nil:
		return validateBody(c, data)
	case errors.As(err, &tooLarge):
		return &problem{Status: http.StatusRequestEntityTooLarge, Code: contract.ProblemContentTooLarge, Detail: fmt.Sprintf("The body is larger than %d bytes.", maxBodyBytes)}
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return invalidRequest(fieldError(fieldName(semantic.JSONPointer), "there is no such field; GET /openapi.json describes the request"))
	case errors.As(err, &semantic):
		return invalidRequest(fieldError(fieldName(semantic.JSONPointer), "has the wrong type: a JSON "+jsonTypeName(semantic.JSONKind)+" cannot be read here"))
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntactic):
		return invalidRequest(fieldError(fieldName(syntactic.JSONPointer), "stands twice"))
	case errors.As(err, &syntactic):
		return invalidRequest(fieldError("body", fmt.Sprintf("is not valid JSON at byte %d; it must be one JSON object in UTF-8", syntactic.ByteOffset)))
	default:
		return invalidRequest(fieldError("body", "cannot be read; it must be one JSON object in UTF-8"))
	}
}

func fieldName(p jsontext.Pointer) string {
	if name := strings.ReplaceAll(strings.TrimPrefix(string(p), "/"), "/", "."); name != "" {
		return name
	}
	return "body"
}

func jsonTypeName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "boolean"
	case '"':
		return "string"
	case '0':
		return "number"
	case '[':
		return "array"
	default:
		return "object"
	}
}

// checkText refuses a text that no agent could be given.
func checkText(name, text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return invalidRequest(fieldError(name, "must hold some text"))
	case len(text) > maxTextBytes:
		return &problem{Status: http.StatusRequestEntityTooLarge, Code: contract.ProblemContentTooLarge,
			Detail: fmt.Sprintf("%s has %d bytes; at most %d are taken. Split it, or let the agent fetch less.", name, len(text), maxTextBytes),
			Errors: []contract.FieldError{fieldError(name, fmt.Sprintf("at most %d bytes", maxTextBytes))}}
	default:
		return checkNoNUL(name, text)
	}
}

func checkNoNUL(name, text string) error {
	if strings.ContainsRune(text, 0) {
		return invalidRequest(fieldError(name, "must not hold a NUL character"))
	}
	return nil
}

// timeout reads an attempt's time-out; absent, it is otherwise.
func parseTimeout(text string, fallback time.Duration) (time.Duration, error) {
	return parseDuration("timeout", text, fallback, execution.MinTimeout, execution.MaxTimeout)
}

// queueTimeout reads how long an execution may wait; absent, it is the server's.
func (s *Server) parseQueueTimeout(text string) (time.Duration, error) {
	return parseDuration("queueTimeout", text, s.config.QueueTimeout, execution.MinQueueTimeout, execution.MaxQueueTimeout)
}

func parseDuration(field, text string, fallback, minimum, maximum time.Duration) (time.Duration, error) {
	if text == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minimum || d > maximum {
		return 0, invalidRequest(fieldError(field, fmt.Sprintf("must be a duration from %s to %s, such as 90s", minimum, maximum)))
	}
	return d, nil
}

func writeJSONAs(c echo.Context, status int, contentType string, body any) error {
	data, err := marshalJSON(body)
	if err != nil {
		return err
	}
	return c.Blob(status, contentType, data)
}

func respondJSON(c echo.Context, status int, body any) error {
	return writeJSONAs(c, status, echo.MIMEApplicationJSON, body)
}
