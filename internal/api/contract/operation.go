package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Media types of bodies whose schemas are checked.
const (
	mediaJSON       = "application/json"
	mediaMergePatch = "application/merge-patch+json"
	mediaProblem    = "application/problem+json"
)

// Operation is what the contract says of one method of one path. It is safe
// for concurrent use.
type Operation struct {
	ID         string
	Scopes     []Scope     // that the caller needs; none: open to everybody
	Parameters []Parameter // of query and headers
	AnyQuery   bool        // takes unknown query parameters (x-any-query)
	Body       *jsonschema.Schema
	Answers    map[int]Answer // by status
}

// Parameter is one of an operation's parameters.
type Parameter struct {
	Name, In string // "query", "header"
	Required bool
	Type     string // of JSON: "string", "integer", "boolean"
	Schema   *jsonschema.Schema
}

// Answer is what the contract says of the responses of one status: the schemas
// of the media types that it may have, nil where the body is not JSON. Without
// any there is no body.
type Answer map[string]*jsonschema.Schema

func (d *document) operation(path at, method string) (*Operation, error) {
	here := path.to(method)
	object := d.object(here)
	op := &Operation{Answers: map[int]Answer{}}
	op.ID, _ = object["operationId"].(string)
	op.AnyQuery, _ = object["x-any-query"].(bool)
	op.Scopes = d.scopes(here)
	for _, list := range []at{path.to("parameters"), here.to("parameters")} {
		if err := d.parameters(op, list); err != nil {
			return nil, err
		}
	}
	body := d.resolve(here.to("requestBody")).to("content")
	for media := range d.object(body) {
		if media != mediaJSON && media != mediaMergePatch {
			continue
		}
		var err error
		if op.Body, err = d.schema(body.to(media, "schema")); err != nil {
			return nil, err
		}
	}
	for code := range d.object(here.to("responses")) {
		status, err := strconv.Atoi(code)
		if err != nil {
			return nil, fmt.Errorf("the status %q is not one", code)
		}
		if op.Answers[status], err = d.answer(d.resolve(here.to("responses", code))); err != nil {
			return nil, err
		}
	}
	return op, nil
}

// scopes are those that an operation says it takes, or the document for all
// that say nothing.
func (d *document) scopes(operation at) []Scope {
	if _, says := d.object(operation)["security"]; !says {
		operation = nil
	}
	names, _ := d.object(operation.to("security", "0"))["bearer"].([]any)
	scopes := make([]Scope, len(names))
	for i, name := range names {
		text, _ := name.(string)
		scopes[i] = Scope(text)
	}
	return scopes
}

func (d *document) parameters(op *Operation, list at) error {
	for i := 0; d.object(list.to(strconv.Itoa(i))) != nil; i++ {
		here := d.resolve(list.to(strconv.Itoa(i)))
		object := d.object(here)
		var p Parameter
		p.Name, _ = object["name"].(string)
		p.In, _ = object["in"].(string)
		p.Required, _ = object["required"].(bool)
		if p.In == "path" {
			continue // an ID is opaque: what is none is not found
		}
		p.Type, _ = d.object(d.resolve(here.to("schema")))["type"].(string)
		var err error
		if p.Schema, err = d.schema(here.to("schema")); err != nil {
			return err
		}
		op.Parameters = append(op.Parameters, p)
	}
	return nil
}

func (d *document) answer(here at) (Answer, error) {
	answer := Answer{}
	for media := range d.object(here.to("content")) {
		answer[media] = nil
		if media != mediaJSON && media != mediaProblem {
			continue
		}
		var err error
		if answer[media], err = d.schema(here.to("content", media, "schema")); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// Takes reports whether the operation has this header.
func (op *Operation) Takes(header string) bool {
	return slices.ContainsFunc(op.Parameters, func(p Parameter) bool { return p.In == "header" && p.Name == header })
}

// CheckParameters returns what is wrong with the query and the headers of a request.
func (op *Operation) CheckParameters(query url.Values, header http.Header) []FieldError {
	var wrong []FieldError
	for _, p := range op.Parameters {
		values := query[p.Name]
		if p.In == "header" {
			values = header.Values(p.Name)
		}
		switch {
		case len(values) == 0 && p.Required:
			wrong = append(wrong, FieldError{Field: p.Name, Detail: "must be given"})
		case len(values) > 1 && p.In == "query":
			wrong = append(wrong, FieldError{Field: p.Name, Detail: "stands twice"})
		case len(values) > 0 && !utf8.ValidString(values[0]):
			wrong = append(wrong, FieldError{Field: p.Name, Detail: "must be UTF-8"})
		case len(values) > 0:
			wrong = append(wrong, p.check(values[0])...)
		}
	}
	if op.AnyQuery {
		return wrong
	}
	for name := range query {
		if !slices.ContainsFunc(op.Parameters, func(p Parameter) bool { return p.In == "query" && p.Name == name }) {
			wrong = append(wrong, FieldError{Field: name, Detail: "there is no such parameter; GET /openapi.json describes the request"})
		}
	}
	return wrong
}

func (p *Parameter) check(text string) []FieldError {
	var value any = text
	var err error
	switch p.Type {
	case "integer":
		value, err = strconv.ParseInt(text, 10, 32)
	case "boolean":
		value, err = strconv.ParseBool(text)
	}
	if err != nil {
		return []FieldError{{Field: p.Name, Detail: "must be " + article(p.Type)}}
	}
	return faults(p.Name, p.Schema.Validate(value))
}

// CheckBody returns what is wrong with a request's body, a value as
// encoding/json makes it.
func (op *Operation) CheckBody(body any) []FieldError {
	if op.Body == nil {
		return nil
	}
	return faults("", op.Body.Validate(body))
}
