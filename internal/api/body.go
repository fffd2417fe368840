package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"

	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// maxBodyBytes bounds the body of a request, batches apart. The largest message can be several times as long when it is
// escaped in JSON.
const maxBodyBytes = 2 << 20

// readJSON reads the body of a request into v and checks it against the contract. The body must be one JSON document in
// valid UTF-8, without unknown or repeated members and with nothing after it. Its media type is application/json or one
// of mediaTypes.
func readJSON(c echo.Context, v any, mediaTypes ...string) error {
	r := c.Request()
	mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil || mediaType != echo.MIMEApplicationJSON && !slices.Contains(mediaTypes, mediaType) {
		return &unsupportedMediaTypeError{"Send the body as JSON, with the header Content-Type: application/json."}
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxBodyBytes))
	if err == nil {
		err = json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return explainJSONError(err)
	}
	return validateBody(c, data)
}

// explainJSONError says which field of a body is wrong.
func explainJSONError(err error) error {
	var (
		tooLarge  *http.MaxBytesError
		semantic  *json.SemanticError
		syntactic *jsontext.SyntacticError
	)
	switch {
	case errors.As(err, &tooLarge):
		return &contentTooLargeError{detail: fmt.Sprintf("The body is larger than %d bytes.", maxBodyBytes)}
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return invalidField(fieldName(semantic.JSONPointer), "is not a field; GET /openapi.json describes the request")
	case errors.As(err, &semantic):
		return invalidField(fieldName(semantic.JSONPointer), "has the wrong type: a JSON "+jsonTypeName(semantic.JSONKind)+" is not accepted here")
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntactic):
		return invalidField(fieldName(syntactic.JSONPointer), "is repeated")
	case errors.As(err, &syntactic):
		return invalidField("body", fmt.Sprintf("is not valid JSON at byte %d; it must be one JSON object in UTF-8", syntactic.ByteOffset))
	default:
		return invalidField("body", "cannot be read; it must be one JSON object in UTF-8")
	}
}

// fieldName writes a JSON pointer as people do: agent.name.
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
