// Package contract is the HTTP contract: the OpenAPI document, the types and
// the router that are generated from it, and the checks of requests and
// responses against it.
package contract

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml openapi.yaml

//go:embed openapi.yaml
var source []byte

// JSON is the OpenAPI document in JSON.
var JSON = sync.OnceValue(func() []byte {
	data, err := yaml.YAMLToJSON(source)
	if err != nil {
		panic(err) // it is embedded, and was read when the router was generated
	}
	return data
})

// Operations are all operations of the contract, by "METHOD /path/{id}".
var Operations = sync.OnceValue(func() map[string]*Operation {
	operations, err := compile(JSON())
	if err != nil {
		panic(err) // it is embedded, and every test compiles it
	}
	return operations
})

// root is the name under which the document is known to the compiler.
const documentURL = "contract.json"

// document is the OpenAPI document as it is compiled. A schema of OpenAPI 3.1
// is a JSON Schema, so a validator of those needs nothing but its address.
type document struct {
	tree     map[string]any
	compiler *jsonschema.Compiler
}

func compile(data []byte) (map[string]*Operation, error) {
	d := document{compiler: jsonschema.NewCompiler()}
	if err := json.Unmarshal(data, &d.tree); err != nil {
		return nil, err
	}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentURL, d.tree); err != nil {
		return nil, err
	}
	operations := map[string]*Operation{}
	paths := pointer{"paths"}
	for path, item := range d.object(paths) {
		for method := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			op, err := d.operation(paths.join(path), method)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			operations[strings.ToUpper(method)+" "+path] = op
		}
	}
	return operations, nil
}

// at is the place of a value in the document, as a JSON pointer's parts.
type pointer []string

func (a pointer) join(parts ...string) pointer { return append(a[:len(a):len(a)], parts...) }

// object returns the object at a place; empty where there is none.
func (d *document) object(a pointer) map[string]any {
	var value any = d.tree
	for _, part := range a {
		switch v := value.(type) {
		case map[string]any:
			value = v[part]
		case []any:
			var i int
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	object, _ := value.(map[string]any)
	return object
}

// resolve follows a reference, where there is one.
func (d *document) resolve(a pointer) pointer {
	ref, ok := d.object(a)["$ref"].(string)
	if !ok {
		return a
	}
	var parts pointer
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		parts = append(parts, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return d.resolve(parts)
}

// schema compiles the schema at a place.
func (d *document) schema(a pointer) (*jsonschema.Schema, error) {
	var text strings.Builder
	for _, part := range a {
		text.WriteString("/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(part)))
	}
	return d.compiler.Compile(documentURL + "#" + text.String())
}
