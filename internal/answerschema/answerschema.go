// Package answerschema reads JSON Schemas that tenants write, and checks answers of agents against them. The text of a
// schema comes in, and a Schema or the reason why it is none goes out; an answer comes in, and what is wrong with it
// goes out.
//
// Both texts may be hostile. A schema loads nothing, and it has bounds within which it compiles in milliseconds. The
// work of a check is counted (budget.go), so that it ends. See docs/decisions/0023-agent-versions.md.
package answerschema

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Bounds of a schema. Its compiler names every part by its whole path, which takes time and memory for paths that are
// long and many.
const (
	maxDepth     = 64 // of nested objects and arrays
	maxObjects   = 5000
	maxNameBytes = 256 // of a member
)

// Schema is a compiled schema. It serves one check at a time.
type Schema struct {
	root   *jsonschema.Schema
	budget *budget
}

// location names the schema in the compiler. References are resolved against it, and nothing is ever loaded from it.
const location = "airlock:///schema.json"

// errRemote is the answer to every attempt to load a schema.
var errRemote = errors.New("it is not part of the schema, and nothing else is loaded")

type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errRemote }

// Compile reads a schema. It must be a JSON object, of draft 4 to 2020-12. Its error says for people what is wrong.
func Compile(text string) (*Schema, error) {
	if len(text) > agent.MaxSchemaBytes {
		return nil, fmt.Errorf("has %d bytes; at most %d are accepted", len(text), agent.MaxSchemaBytes)
	}
	var tree any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		return nil, fmt.Errorf("is not valid JSON: %w", err)
	}
	if _, isObject := tree.(map[string]any); !isObject {
		return nil, errors.New("must be a JSON object")
	}
	if err := new(bounds).check(tree, 0); err != nil {
		return nil, err
	}
	b := new(budget)
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	compiler.UseRegexpEngine(b.compilePattern)
	if err := compiler.AddResource(location, tree); err != nil {
		return nil, explain(err)
	}
	root, err := compiler.Compile(location)
	if err != nil {
		return nil, explain(err)
	}
	b.count(root)
	return &Schema{root: root, budget: b}, nil
}

// bounds counts the parts of a schema.
type bounds struct{ objects int }

// dynamicKeywords serve to extend schemas that others have written. No agent's answer needs them.
var dynamicKeywords = []string{"$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary"}

func (b *bounds) check(value any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("is nested more than %d levels deep", maxDepth)
	}
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			if err := b.check(element, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		if b.objects++; b.objects > maxObjects {
			return fmt.Errorf("has more than %d parts", maxObjects)
		}
		for name, member := range value {
			if len(name) > maxNameBytes {
				return fmt.Errorf("has a member whose name has %d bytes; at most %d are accepted", len(name), maxNameBytes)
			}
			if slices.Contains(dynamicKeywords, name) {
				return fmt.Errorf("uses %s, which is not supported", name)
			}
			if err := b.check(member, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// explain says what a compiler rejects, for people. A schema that is not one of its draft gets the first reasons.
func explain(err error) error {
	var (
		invalid *jsonschema.SchemaValidationError
		load    *jsonschema.LoadURLError
		pattern *jsonschema.InvalidRegexError
	)
	switch {
	case errors.As(err, &load):
		return fmt.Errorf("refers to %q: %w", shorten(load.URL), errRemote)
	case errors.As(err, &pattern):
		return fmt.Errorf("has a pattern that cannot be used, %q: %w", shorten(pattern.Regex), pattern.Err)
	case errors.As(err, &invalid):
		var violation *jsonschema.ValidationError
		if errors.As(invalid.Err, &violation) {
			return fmt.Errorf("is not a JSON Schema: %s", strings.Join(describe(violation), "; "))
		}
	}
	return fmt.Errorf("is not a JSON Schema: %s", shorten(strings.ReplaceAll(err.Error(), location, "")))
}

// Check returns what is wrong with an answer, the first violations; empty if it matches. The error says that the answer
// cannot be checked: it is not JSON, or the check takes too long.
func (s *Schema) Check(answer []byte) (violations []string, err error) {
	var value any
	if err := json.Unmarshal(answer, &value); err != nil {
		return nil, errors.New("the answer is not valid JSON")
	}
	defer func() {
		if r := recover(); r != nil {
			if r != any(errExhausted) {
				panic(r)
			}
			err = errExhausted
		}
	}()
	s.budget.reset()
	var violation *jsonschema.ValidationError
	if errors.As(s.root.Validate(value), &violation) {
		return describe(violation), nil
	}
	return nil, nil
}
