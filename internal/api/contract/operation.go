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

// The media types whose bodies are validated.
const (
	mediaTypeJSON       = "application/json"
	mediaTypeMergePatch = "application/merge-patch+json"
	mediaTypeProblem    = "application/problem+json"
)

// Operation is one method of one path. It is safe for concurrent use.
type Operation struct {
	ID                 string
	Public             bool               // needs no credentials
	Scopes             []Scope            // scopes that the caller needs
	Parameters         []Parameter        // in the query and in headers
	AllowsUnknownQuery bool               // accepts unknown query parameters (x-allow-unknown-query)
	Body               *jsonschema.Schema // nil: the body is not validated
	Responses          map[int]Response   // by status
}

// Parameter is one of an operation's parameters.
type Parameter struct {
	Name, In string // "query", "header"
	Required bool
	Type     string // "string", "integer", "boolean"
	Schema   *jsonschema.Schema
}

// Response holds the schemas of the responses with one status, by media type. A schema is nil if the body is not JSON.
// A response without media types has no body.
type Response map[string]*jsonschema.Schema

func (d *document) operation(path pointer, method string) (*Operation, error) {
	location := path.join(method)
	object := d.object(location)
	op := &Operation{Responses: map[int]Response{}}
	op.ID, _ = object["operationId"].(string)
	op.AllowsUnknownQuery, _ = object["x-allow-unknown-query"].(bool)
	op.Scopes, op.Public = d.scopes(location)
	for _, list := range []pointer{path.join("parameters"), location.join("parameters")} {
		if err := d.parameters(op, list); err != nil {
			return nil, err
		}
	}
	body := d.resolve(location.join("requestBody")).join("content")
	for media := range d.object(body) {
		if media != mediaTypeJSON && media != mediaTypeMergePatch {
			continue
		}
		var err error
		if op.Body, err = d.schema(body.join(media, "schema")); err != nil {
			return nil, err
		}
	}
	for code := range d.object(location.join("responses")) {
		status, err := strconv.Atoi(code)
		if err != nil {
			return nil, fmt.Errorf("%q is not a status", code)
		}
		if op.Responses[status], err = d.response(d.resolve(location.join("responses", code))); err != nil {
			return nil, err
		}
	}
	return op, nil
}

// scopes returns the scopes of an operation, or those of the document if the operation declares none.
func (d *document) scopes(operation pointer) (_ []Scope, public bool) {
	if _, declared := d.object(operation)["security"]; !declared {
		operation = nil
	}
	requirement := d.object(operation.join("security", "0"))
	names, _ := requirement["bearer"].([]any)
	scopes := make([]Scope, len(names))
	for i, name := range names {
		text, _ := name.(string)
		scopes[i] = Scope(text)
	}
	return scopes, requirement == nil
}

func (d *document) parameters(op *Operation, list pointer) error {
	for i := 0; d.object(list.join(strconv.Itoa(i))) != nil; i++ {
		location := d.resolve(list.join(strconv.Itoa(i)))
		object := d.object(location)
		var p Parameter
		p.Name, _ = object["name"].(string)
		p.In, _ = object["in"].(string)
		p.Required, _ = object["required"].(bool)
		if p.In == "path" {
			continue // an ID is opaque: a text that is no ID gets 404
		}
		p.Type, _ = d.object(d.resolve(location.join("schema")))["type"].(string)
		var err error
		if p.Schema, err = d.schema(location.join("schema")); err != nil {
			return err
		}
		op.Parameters = append(op.Parameters, p)
	}
	return nil
}

func (d *document) response(location pointer) (Response, error) {
	response := Response{}
	for media := range d.object(location.join("content")) {
		response[media] = nil
		if media != mediaTypeJSON && media != mediaTypeProblem {
			continue
		}
		var err error
		if response[media], err = d.schema(location.join("content", media, "schema")); err != nil {
			return nil, err
		}
	}
	return response, nil
}

// AcceptsHeader reports whether the operation has this header.
func (op *Operation) AcceptsHeader(header string) bool {
	return slices.ContainsFunc(op.Parameters, func(p Parameter) bool { return p.In == "header" && p.Name == header })
}

// CheckParameters returns what is wrong with the query and the headers of a request.
func (op *Operation) CheckParameters(query url.Values, header http.Header) []FieldError {
	var fieldErrs []FieldError
	for _, p := range op.Parameters {
		values := query[p.Name]
		if p.In == "header" {
			values = header.Values(p.Name)
		}
		switch {
		case len(values) == 0 && p.Required:
			fieldErrs = append(fieldErrs, FieldError{Field: p.Name, Detail: "is required"})
		case len(values) > 1 && p.In == "query":
			fieldErrs = append(fieldErrs, FieldError{Field: p.Name, Detail: "is repeated"})
		case len(values) > 0 && !utf8.ValidString(values[0]):
			fieldErrs = append(fieldErrs, FieldError{Field: p.Name, Detail: "must be UTF-8"})
		case len(values) > 0:
			fieldErrs = append(fieldErrs, p.check(values[0])...)
		}
	}
	if op.AllowsUnknownQuery {
		return fieldErrs
	}
	for name := range query {
		if !slices.ContainsFunc(op.Parameters, func(p Parameter) bool { return p.In == "query" && p.Name == name }) {
			fieldErrs = append(fieldErrs, FieldError{Field: name, Detail: "is not a parameter; GET /openapi.json describes the request"})
		}
	}
	return fieldErrs
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
		return []FieldError{{Field: p.Name, Detail: "must be " + withArticle(p.Type)}}
	}
	return fieldErrors(p.Name, p.Schema.Validate(value))
}

// CheckBody returns what is wrong with the body of a request. The body is a value that JSON was decoded into: any.
func (op *Operation) CheckBody(body any) []FieldError {
	if op.Body == nil {
		return nil
	}
	return fieldErrors("", op.Body.Validate(body))
}
