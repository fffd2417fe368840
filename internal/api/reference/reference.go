// Package reference renders an OpenAPI document as a page.
//
// In: the document in JSON. Out: one file of HTML and the content security policy that it needs. The page never runs a
// script and never loads anything.
package reference

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"slices"
	"strings"
)

//go:embed page.html
var pageTemplate string

//go:embed page.css
var stylesheet string

// ContentSecurityPolicy is the policy that the page needs. It allows the style of the page and nothing else.
var ContentSecurityPolicy = func() string {
	sum := sha256.Sum256([]byte(stylesheet))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'"
}()

// The parts of a document that the page shows.
type (
	document struct {
		Info struct{ Title, Version, Description string }
		Tags []struct{ Name, Description string }

		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Schemas    map[string]schema
			Parameters map[string]parameter
			Responses  map[string]response
		}
	}
	operation struct {
		Tags                 []string
		Summary, Description string
		OperationID          string
		Parameters           []parameter
		RequestBody          struct{ Content map[string]mediaType }
		Responses            map[string]response
	}
	parameter struct {
		Ref                   string `json:"$ref"`
		Name, In, Description string
		Required              bool
		Schema                schema
	}
	response struct {
		Ref         string `json:"$ref"`
		Description string
		Content     map[string]mediaType
	}
	mediaType struct{ Schema schema }
	schema    struct {
		Ref         string `json:"$ref"`
		Type        any
		Description string
		Enum        []any
		Properties  map[string]schema
		Required    []string
		Items       *schema
	}
)

// Render renders a document as a page.
func Render(openapi []byte) ([]byte, error) {
	var doc document
	if err := json.Unmarshal(openapi, &doc); err != nil {
		return nil, err
	}
	groups, err := doc.groupByTag()
	if err != nil {
		return nil, err
	}
	compiled, err := template.New("page").Funcs(template.FuncMap{
		"type": typeName, "refName": refName, "paragraphs": splitParagraphs, "sortedNames": sortedNames, "join": joinStrings,
		"has": slices.Contains[[]string],
	}).Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = compiled.Execute(&out, map[string]any{
		"Info": doc.Info, "Groups": groups, "Schemas": doc.Components.Schemas,
		"Style": template.CSS(stylesheet), //nolint:gosec // the style is embedded
	})
	return out.Bytes(), err
}

// tagGroup holds the operations of one tag.
type tagGroup struct {
	Name       string
	Operations []endpoint
}

type endpoint struct {
	Method, Path string
	operation
}

func (d *document) groupByTag() ([]tagGroup, error) {
	groups := make([]tagGroup, len(d.Tags))
	for i, tag := range d.Tags {
		groups[i].Name = tag.Name
	}
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		item := d.Paths[path]
		var shared []parameter
		if raw := item["parameters"]; raw != nil {
			if err := json.Unmarshal(raw, &shared); err != nil {
				return nil, err
			}
			delete(item, "parameters")
		}
		for _, method := range slices.Sorted(maps.Keys(item)) {
			op := endpoint{Method: strings.ToUpper(method), Path: path}
			if err := json.Unmarshal(item[method], &op.operation); err != nil {
				return nil, err
			}
			op.Parameters = d.resolveParameters(append(slices.Clone(shared), op.Parameters...))
			for code, r := range op.Responses {
				if r.Ref != "" {
					op.Responses[code] = d.Components.Responses[refName(r.Ref)]
				}
			}
			i := slices.IndexFunc(groups, func(g tagGroup) bool { return slices.Contains(op.Tags, g.Name) })
			if i >= 0 {
				groups[i].Operations = append(groups[i].Operations, op)
			}
		}
	}
	return groups, nil
}

func (d *document) resolveParameters(parameters []parameter) []parameter {
	for i, p := range parameters {
		if p.Ref != "" {
			parameters[i] = d.Components.Parameters[refName(p.Ref)]
		}
	}
	return parameters
}

// refName returns the name at the end of a reference.
func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// typeName describes the type of a value.
func typeName(s schema) string {
	switch {
	case s.Ref != "":
		return refName(s.Ref)
	case s.Items != nil:
		return "array of " + typeName(*s.Items)
	}
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		return joinStrings(t)
	default:
		return "any"
	}
}

func joinStrings(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i], _ = v.(string)
	}
	return strings.Join(words, " | ")
}

func splitParagraphs(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n\n"), func(p string) bool { return strings.TrimSpace(p) == "" })
}

// sortedNames returns the names of a map in order.
func sortedNames(m map[string]schema) []string {
	return slices.SortedFunc(maps.Keys(m), cmp.Compare[string])
}
