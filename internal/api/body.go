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
	maxBody = 2 << 20
	maxText = 256 << 10
)

// readThrough reads what a GET has for a body, which means nothing to any of
// them: before its end net/http does not notice that the client has gone.
func readThrough(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if r := c.Request(); r.Method == http.MethodGet {
			if _, err := io.Copy(io.Discard, http.MaxBytesReader(c.Response(), r.Body, maxBody)); err != nil {
				return invalid(fieldError("body", "is far too much for a GET, which takes none"))
			}
		}
		return next(c)
	}
}

// readJSON reads the request's body into v, strictly: one JSON object in
// valid UTF-8 without unknown or repeated members, and nothing after it. media
// are the types that it may be sent as, beside application/json.
func readJSON(c echo.Context, v any, media ...string) error {
	r := c.Request()
	if sent, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); err != nil || sent != echo.MIMEApplicationJSON && !slices.Contains(media, sent) {
		return &problem{Status: http.StatusUnsupportedMediaType, Code: contract.ProblemUnsupportedMediaType, Detail: "Send the body as JSON, with the header Content-Type: application/json."}
	}
	body := http.MaxBytesReader(c.Response(), r.Body, maxBody)
	data, err := io.ReadAll(body)
	if err == nil {
		err = json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	}
	var tooLarge *http.MaxBytesError
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case err == nil:
		return conformBody(c, data)
	case errors.As(err, &tooLarge):
		return &problem{Status: http.StatusRequestEntityTooLarge, Code: contract.ProblemTooLarge, Detail: fmt.Sprintf("The body is larger than %d bytes.", maxBody)}
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return invalid(fieldError(field(semantic.JSONPointer), "there is no such field; GET /openapi.json describes the request"))
	case errors.As(err, &semantic):
		return invalid(fieldError(field(semantic.JSONPointer), "has the wrong type: a JSON "+kind(semantic.JSONKind)+" cannot be read here"))
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntactic):
		return invalid(fieldError(field(syntactic.JSONPointer), "stands twice"))
	case errors.As(err, &syntactic):
		return invalid(fieldError("body", fmt.Sprintf("is not valid JSON at byte %d; it must be one JSON object in UTF-8", syntactic.ByteOffset)))
	default:
		return invalid(fieldError("body", "cannot be read; it must be one JSON object in UTF-8"))
	}
}

func field(p jsontext.Pointer) string {
	if name := strings.ReplaceAll(strings.TrimPrefix(string(p), "/"), "/", "."); name != "" {
		return name
	}
	return "body"
}

func kind(k jsontext.Kind) string {
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
		return invalid(fieldError(name, "must hold some text"))
	case len(text) > maxText:
		return &problem{Status: http.StatusRequestEntityTooLarge, Code: contract.ProblemTooLarge,
			Detail: fmt.Sprintf("%s has %d bytes; at most %d are taken. Split it, or let the agent fetch less.", name, len(text), maxText),
			Errors: []contract.FieldError{fieldError(name, fmt.Sprintf("at most %d bytes", maxText))}}
	default:
		return checkNoNUL(name, text)
	}
}

func checkNoNUL(name, text string) error {
	if strings.ContainsRune(text, 0) {
		return invalid(fieldError(name, "must not hold a NUL character"))
	}
	return nil
}

// timeout reads an attempt's time-out; absent, it is otherwise.
func timeout(text string, otherwise time.Duration) (time.Duration, error) {
	return duration("timeout", text, otherwise, execution.MinTimeout, execution.MaxTimeout)
}

// queueTimeout reads how long an execution may wait; absent, it is the server's.
func (s *Server) queueTimeout(text string) (time.Duration, error) {
	return duration("queueTimeout", text, s.config.QueueTimeout, execution.MinQueueTimeout, execution.MaxQueueTimeout)
}

func duration(field, text string, otherwise, least, most time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		return 0, invalid(fieldError(field, fmt.Sprintf("must be a duration from %s to %s, such as 90s", least, most)))
	}
	return d, nil
}

func writeJSON(c echo.Context, status int, contentType string, body any) error {
	data, err := marshal(body)
	if err != nil {
		return err
	}
	return c.Blob(status, contentType, data)
}

func answer(c echo.Context, status int, body any) error {
	return writeJSON(c, status, echo.MIMEApplicationJSON, body)
}
