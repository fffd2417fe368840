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

//go:embed openapi.yaml
var source []byte

// JSON is the OpenAPI document in JSON.
var JSON = sync.OnceValue(func() []byte {
	data, err := yaml.YAMLToJSON(source)
	if err != nil {
		panic(err) // the embedded document was valid when the router was generated
	}
	return data
})

// Operations are the operations of the contract, by "METHOD /path/{id}".
var Operations = sync.OnceValue(func() map[string]*Operation {
	operations, err := compile(JSON())
	if err != nil {
		panic(err) // the document is embedded, and every test compiles it
	}
	return operations
})

// documentURL is the name of the document in the schema compiler.
const documentURL = "contract.json"

// document is the OpenAPI document. A schema of OpenAPI 3.1 is a JSON Schema, so the compiler of JSON Schemas needs
// only its address in the document.
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

// pointer is the address of a value in the document: the parts of a JSON pointer.
type pointer []string

func (p pointer) join(parts ...string) pointer { return append(p[:len(p):len(p)], parts...) }

// object returns the object at an address; nil if there is none.
func (d *document) object(p pointer) map[string]any {
	var value any = d.tree
	for _, part := range p {
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

// resolve follows a reference, if the value is one.
func (d *document) resolve(p pointer) pointer {
	ref, ok := d.object(p)["$ref"].(string)
	if !ok {
		return p
	}
	var parts pointer
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		parts = append(parts, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return d.resolve(parts)
}

// schema compiles the schema at an address.
func (d *document) schema(p pointer) (*jsonschema.Schema, error) {
	var text strings.Builder
	for _, part := range p {
		text.WriteString("/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(part)))
	}
	return d.compiler.Compile(documentURL + "#" + text.String())
}
