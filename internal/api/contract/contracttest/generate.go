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

// Request is a request that the contract describes, or nearly.
type Request struct {
	Operation    string // "POST /agents/{id}/run"
	Method, Path string // with its query
	Header       http.Header
	Body         string
}

// Requests draws so many requests, each for another operation. Their IDs are
// those given, by the beginning of the path ("agents"), or made up; every part
// of them is what the contract has, or is spoilt in some way.
func Requests(count int, ids map[string][]string) *rapid.Generator[[]Request] {
	return rapid.Custom(func(t *rapid.T) []Request {
		// A permutation has every operation come as often as the others; samples favour the first.
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
		d := generator{t}
		op := contract.Operations()[name]
		method, path, _ := strings.Cut(name, " ")
		r := Request{Operation: name, Method: method, Path: d.path(path, ids), Header: http.Header{}}
		query := url.Values{}
		for _, p := range op.Parameters {
			if rapid.IntRange(0, 2).Draw(t, p.Name) > 0 && !p.Required {
				continue
			}
			value := d.parameter(p)
			if p.In == "query" {
				query.Add(p.Name, value)
			} else if clean := strings.Map(dropUnprintable, value); clean != "" {
				r.Header.Set(p.Name, clean)
			}
		}
		if rapid.IntRange(0, 19).Draw(t, "odd query") == 0 {
			query.Add(d.text(), d.text())
		}
		if len(query) > 0 {
			r.Path += "?" + query.Encode()
		}
		d.body(&r)
		return r
	})
}

type generator struct{ t *rapid.T }

func (d generator) path(path string, ids map[string][]string) string {
	resource := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/"), "api/"), "/")[0]
	for strings.Contains(path, "{") {
		before, rest, _ := strings.Cut(path, "{")
		_, after, _ := strings.Cut(rest, "}")
		known := ids[resource]
		if len(known) == 0 || rapid.IntRange(0, 3).Draw(d.t, "strange") == 0 {
			known = []string{"exe_000000000000000000000000", "x", "%2e%2e", "%00", strings.Repeat("y", 300), "é"}
		}
		path = before + rapid.SampledFrom(known).Draw(d.t, "id") + after
	}
	return path
}

// sound are values that make sense where a schema alone says "string".
var validValues = map[string][]string{
	"limit": {"1", "20", "100"}, "after": {"0", "1"}, "follow": {"false", "true"}, "wait": {"0s", "1ms"},
	"status": {"queued", "canceled"}, "kind": {"run", "conversation"}, "label": {"a=b", "a="},
	"agentId": {"agt_000000000000000000000000"}, "batchId": {"bat_000000000000000000000000"}, "conversationId": {"con_000000000000000000000000"},
	"If-None-Match": {`"x"`, "*"}, "Prefer": {"wait=0", "return=minimal"}, "Last-Event-ID": {"0-0-queued", "1-1-succeeded"}, "Idempotency-Key": {"k1", "k2", "k3"},
	"runtime": {"offline"}, "timeout": {"90s", "1s"}, "queueTimeout": {"1h"}, "expiresIn": {"720h"}, "encoding": {"base64"},
	"input": {"one two"}, "message": {"hello"}, "name": {"A"}, "instructions": {"Count"},
}

// soundly draws a value that makes sense, four times in five where there is any.
func (d generator) validValue(name string) (string, bool) {
	values := validValues[name]
	if len(values) == 0 || rapid.IntRange(0, 4).Draw(d.t, "unsound") == 0 {
		return "", false
	}
	return rapid.SampledFrom(values).Draw(d.t, "value of "+name), true
}

func (d generator) parameter(p contract.Parameter) string {
	if value, ok := d.validValue(p.Name); ok {
		return value
	}
	if rapid.Bool().Draw(d.t, "number") {
		return strconv.Itoa(rapid.IntRange(-2, 200).Draw(d.t, "value"))
	}
	return d.text()
}

func (d generator) text() string {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", " ", "\x00", "null", "90s", "offline", "../..", "💥", strings.Repeat("long ", 1000)})).Draw(d.t, "text")
}

// body draws the body of an operation that takes one, of its schema; some are
// spoilt, and some operations get one that take none.
func (d generator) body(r *Request) {
	mediaType, schema := requestBodySchema(r.Operation)
	switch {
	case schema == nil && rapid.IntRange(0, 9).Draw(d.t, "needless body") > 0:
		return
	case schema == nil:
		r.Body = d.text()
		r.Header.Set("Content-Type", rapid.SampledFrom([]string{"application/json", "text/plain"}).Draw(d.t, "media"))
		return
	}
	data, err := json.Marshal(d.value(schema, 0))
	if err != nil {
		panic(err) // of values that were made here
	}
	r.Body = string(data)
	r.Header.Set("Content-Type", mediaType)
	switch rapid.IntRange(0, 9).Draw(d.t, "spoil") {
	case 0:
		r.Body = r.Body[:rapid.IntRange(0, len(r.Body)).Draw(d.t, "cut")]
	case 1:
		r.Body += d.text()
	case 2:
		at := rapid.IntRange(0, len(r.Body)).Draw(d.t, "at")
		r.Body = r.Body[:at] + string(rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(d.t, "bytes")) + r.Body[at:]
	case 3:
		r.Header.Set("Content-Type", rapid.SampledFrom([]string{"", "text/plain", "application/json; charset=latin1", "///", "application/jsonl"}).Draw(d.t, "media"))
	}
}

// value draws a value of a schema; one in some thirty is of another type.
func (d generator) value(schema map[string]any, depth int) any {
	schema = resolve(schema)
	if rapid.IntRange(0, 29).Draw(d.t, "wrong type") == 0 {
		return rapid.SampledFrom([]any{nil, true, -1, 1e300, "text", []any{}, map[string]any{"x": 1}}).Draw(d.t, "other")
	}
	if enum, ok := schema["enum"].([]any); ok {
		return rapid.SampledFrom(enum).Draw(d.t, "one of")
	}
	switch schemaType(schema) {
	case "object":
		return d.object(schema, depth)
	case "array":
		items, _ := schema["items"].(map[string]any)
		list := make([]any, rapid.IntRange(0, 3).Draw(d.t, "length"))
		for i := range list {
			list[i] = d.value(items, depth+1)
		}
		return list
	case "integer":
		return rapid.Int64Range(-2, 1000).Draw(d.t, "integer")
	case "number":
		return rapid.Float64Range(-1, 10).Draw(d.t, "number")
	case "boolean":
		return rapid.Bool().Draw(d.t, "boolean")
	default:
		return d.text()
	}
}

func (d generator) object(schema map[string]any, depth int) map[string]any {
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		isRequired := slices.Contains(required, any(name))
		if isRequired && rapid.IntRange(0, 19).Draw(d.t, "leave out") == 0 || !isRequired && rapid.Bool().Draw(d.t, "leave out") {
			continue
		}
		if value, ok := d.validValue(name); ok {
			object[name] = value
		} else {
			object[name] = d.value(properties[name].(map[string]any), depth+1)
		}
	}
	if more, ok := schema["additionalProperties"].(map[string]any); ok && depth < 3 {
		for range rapid.IntRange(0, 3).Draw(d.t, "members") {
			object[d.text()] = d.value(more, depth+1)
		}
	} else if rapid.IntRange(0, 19).Draw(d.t, "unknown member") == 0 {
		object[d.text()] = d.text()
	}
	return object
}

// tree is the document as it is written.
var document = sync.OnceValue(func() map[string]any {
	var document map[string]any
	if err := json.Unmarshal(contract.JSON(), &document); err != nil {
		panic(err) // it is embedded
	}
	return document
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

// bodyOf returns the first media type of an operation's body and its schema; nil
// where it takes none.
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

// printable leaves out what a header cannot hold.
func dropUnprintable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}
