package api

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// contractEnum returns the enum of a field of a schema, or of the schema itself if field is empty.
func contractEnum(t *testing.T, schema, field string) []string {
	t.Helper()
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct {
					Enum []string `json:"enum"`
				} `json:"properties"`
				Enum []string `json:"enum"`
			} `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(contract.JSON(), &doc))
	values := doc.Components.Schemas[schema].Enum
	if field != "" {
		values = doc.Components.Schemas[schema].Properties[field].Enum
	}
	require.NotEmpty(t, values)
	return values
}

// domainConstants returns the string constants of a type in a file.
func domainConstants(t *testing.T, file, typ string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	var values []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == typ {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			values = append(values, value)
		}
		return true
	})
	return values
}

func TestContractEnumsMatchDomain(t *testing.T) {
	require.ElementsMatch(t, domainConstants(t, "../domain/execution/failure.go", "Code"), contractEnum(t, "Failure", "code"))
	require.ElementsMatch(t, domainConstants(t, "../domain/execution/execution.go", "Kind"), contractEnum(t, "Kind", ""))
}

func TestEveryErrorCodeIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	require.NoError(t, err)
	for _, code := range append(contractEnum(t, "Problem", "code"), contractEnum(t, "Failure", "code")...) {
		require.Contains(t, string(page), "| `"+code+"` |")
	}
}
