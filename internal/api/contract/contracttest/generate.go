package contracttest

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// Request is a request that the contract has, or almost has.
type Request struct {
	Operation    string // "POST /agents/{id}/run"
	Method, Path string // with its query
	Header       http.Header
	Body         string
}

// Requests draws count requests, each for another operation. An ID in a path is one of ids, which are keyed by the
// beginning of the path ("agents"), or an invented one. Every part of a request is valid or spoiled.
func Requests(count int, ids map[string][]string) *rapid.Generator[[]Request] {
	return rapid.Custom(func(t *rapid.T) []Request {
		// A permutation draws all operations equally often. Samples would prefer the first ones.
		names := rapid.Permutation(slices.Sorted(maps.Keys(contract.Operations()))).Draw(t, "operations")[:count]
		requests := make([]Request, count)
		for i, name := range names {
			requests[i] = generateRequest(name, ids).Draw(t, name)
		}
		return requests
	})
}

func generateRequest(name string, ids map[string][]string) *rapid.Generator[Request] {
	return rapid.Custom(func(t *rapid.T) Request {
		g := generator{t}
		op := contract.Operations()[name]
		method, path, _ := strings.Cut(name, " ")
		r := Request{Operation: name, Method: method, Path: g.path(path, ids), Header: http.Header{}}
		query := url.Values{}
		for _, p := range op.Parameters {
			if rapid.IntRange(0, 2).Draw(t, p.Name) > 0 && !p.Required {
				continue
			}
			value := g.parameter(p)
			if p.In == "query" {
				query.Add(p.Name, value)
			} else if clean := strings.Map(dropUnprintable, value); clean != "" {
				r.Header.Set(p.Name, clean)
			}
		}
		if rapid.IntRange(0, 19).Draw(t, "odd query") == 0 {
			query.Add(g.text(), g.text())
		}
		if len(query) > 0 {
			r.Path += "?" + query.Encode()
		}
		g.body(&r)
		return r
	})
}

type generator struct{ t *rapid.T }

func (g generator) path(path string, ids map[string][]string) string {
	resource := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/"), "api/"), "/")[0]
	for strings.Contains(path, "{") {
		before, rest, _ := strings.Cut(path, "{")
		_, after, _ := strings.Cut(rest, "}")
		known := ids[resource]
		if len(known) == 0 || rapid.IntRange(0, 3).Draw(g.t, "invented ID") == 0 {
			known = []string{"exe_000000000000000000000000", "x", "%2e%2e", "%00", strings.Repeat("y", 300), "é"}
		}
		path = before + rapid.SampledFrom(known).Draw(g.t, "id") + after
	}
	return path
}

// validValues are meaningful values of fields whose schema says only "string".
var validValues = map[string][]string{
	"limit": {"1", "20", "100"}, "after": {"0", "1"}, "follow": {"false", "true"}, "wait": {"0s", "1ms"},
	"status": {"queued", "canceled"}, "kind": {"run", "conversation"}, "label": {"a=b", "a="},
	"agentId": {"agt_000000000000000000000000"}, "batchId": {"bat_000000000000000000000000"}, "conversationId": {"con_000000000000000000000000"},
	"If-None-Match": {`"x"`, "*"}, "Prefer": {"wait=0", "return=minimal"}, "Last-Event-ID": {"0-0-queued", "1-1-succeeded"}, "Idempotency-Key": {"k1", "k2", "k3"},
	"runtime": {"offline"}, "timeout": {"90s", "1s"}, "queueTimeout": {"1h"}, "expiresIn": {"720h"}, "encoding": {"base64"},
	"input": {"one two"}, "message": {"hello"}, "name": {"A"}, "instructions": {"Count"},
}

// validValue draws a meaningful value in four of five cases, if the field has one.
func (g generator) validValue(name string) (string, bool) {
	values := validValues[name]
	if len(values) == 0 || rapid.IntRange(0, 4).Draw(g.t, "invalid") == 0 {
		return "", false
	}
	return rapid.SampledFrom(values).Draw(g.t, "value of "+name), true
}

func (g generator) parameter(p contract.Parameter) string {
	if value, ok := g.validValue(p.Name); ok {
		return value
	}
	if rapid.Bool().Draw(g.t, "number") {
		return strconv.Itoa(rapid.IntRange(-2, 200).Draw(g.t, "value"))
	}
	return g.text()
}

func (g generator) text() string {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", " ", "\x00", "null", "90s", "offline", "../..", "💥", strings.Repeat("long ", 1000)})).Draw(g.t, "text")
}

// body draws a body that matches the schema of the operation. Some bodies are spoiled, and some operations without a
// body get one.
func (g generator) body(r *Request) {
	mediaType, schema := requestBodySchema(r.Operation)
	switch {
	case schema == nil && rapid.IntRange(0, 9).Draw(g.t, "unexpected body") > 0:
		return
	case schema == nil:
		r.Body = g.text()
		r.Header.Set("Content-Type", rapid.SampledFrom([]string{"application/json", "text/plain"}).Draw(g.t, "media"))
		return
	}
	data, err := json.Marshal(g.value(schema, 0))
	if err != nil {
		panic(err) // the values were made here
	}
	r.Body = string(data)
	r.Header.Set("Content-Type", mediaType)
	switch rapid.IntRange(0, 9).Draw(g.t, "spoil") {
	case 0:
		r.Body = r.Body[:rapid.IntRange(0, len(r.Body)).Draw(g.t, "cut")]
	case 1:
		r.Body += g.text()
	case 2:
		at := rapid.IntRange(0, len(r.Body)).Draw(g.t, "at")
		r.Body = r.Body[:at] + string(rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(g.t, "bytes")) + r.Body[at:]
	case 3:
		r.Header.Set("Content-Type", rapid.SampledFrom([]string{"", "text/plain", "application/json; charset=latin1", "///", "application/jsonl"}).Draw(g.t, "media"))
	}
}

// value draws a value that matches a schema; one of thirty has another type.
func (g generator) value(schema map[string]any, depth int) any {
	schema = resolve(schema)
	if rapid.IntRange(0, 29).Draw(g.t, "wrong type") == 0 {
		return rapid.SampledFrom([]any{nil, true, -1, 1e300, "text", []any{}, map[string]any{"x": 1}}).Draw(g.t, "other")
	}
	if enum, ok := schema["enum"].([]any); ok {
		return rapid.SampledFrom(enum).Draw(g.t, "one of")
	}
	switch schemaType(schema) {
	case "object":
		return g.object(schema, depth)
	case "array":
		items, _ := schema["items"].(map[string]any)
		list := make([]any, rapid.IntRange(0, 3).Draw(g.t, "length"))
		for i := range list {
			list[i] = g.value(items, depth+1)
		}
		return list
	case "integer":
		return rapid.Int64Range(-2, 1000).Draw(g.t, "integer")
	case "number":
		return rapid.Float64Range(-1, 10).Draw(g.t, "number")
	case "boolean":
		return rapid.Bool().Draw(g.t, "boolean")
	default:
		return g.text()
	}
}

func (g generator) object(schema map[string]any, depth int) map[string]any {
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		isRequired := slices.Contains(required, any(name))
		if isRequired && rapid.IntRange(0, 19).Draw(g.t, "omit") == 0 || !isRequired && rapid.Bool().Draw(g.t, "omit") {
			continue
		}
		if value, ok := g.validValue(name); ok {
			object[name] = value
		} else {
			object[name] = g.value(properties[name].(map[string]any), depth+1)
		}
	}
	if more, ok := schema["additionalProperties"].(map[string]any); ok && depth < 3 {
		for range rapid.IntRange(0, 3).Draw(g.t, "members") {
			object[g.text()] = g.value(more, depth+1)
		}
	} else if rapid.IntRange(0, 19).Draw(g.t, "unknown member") == 0 {
		object[g.text()] = g.text()
	}
	return object
}

// document is the contract, decoded from JSON.
var document = sync.OnceValue(func() map[string]any {
	var parsed map[string]any
	if err := json.Unmarshal(contract.JSON(), &parsed); err != nil {
		panic(err) // the document is embedded
	}
	return parsed
})

func resolve(schema map[string]any) map[string]any {
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema
	}
	node := document()
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		node, _ = node[part].(map[string]any)
	}
	return resolve(node)
}

func schemaType(schema map[string]any) string {
	switch t := schema["type"].(type) {
	case string:
		return t
	case []any:
		first, _ := t[0].(string)
		return first
	default:
		return ""
	}
}

// requestBodySchema returns the first media type of an operation's body and its schema; nil if the operation has no
// body.
func requestBodySchema(operation string) (string, map[string]any) {
	method, path, _ := strings.Cut(operation, " ")
	node := document()
	for _, part := range []string{"paths", path, strings.ToLower(method), "requestBody", "content"} {
		node, _ = node[part].(map[string]any)
	}
	for _, media := range slices.Sorted(maps.Keys(node)) {
		content, _ := node[media].(map[string]any)
		schema, _ := content["schema"].(map[string]any)
		return media, schema
	}
	return "", nil
}

// dropUnprintable drops the characters that a header cannot have.
func dropUnprintable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}
