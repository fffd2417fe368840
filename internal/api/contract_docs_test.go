package api

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/tenant"
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
	for _, c := range []struct{ file, typ, schema, field string }{
		{"execution/failure.go", "Code", "FailureCode", ""},
		{"execution/attempts.go", "AttemptOutcome", "AttemptOutcome", ""},
		{"execution/execution.go", "Kind", "Kind", ""},
		{"execution/status.go", "Status", "Status", ""},
		{"tenant/tenant.go", "Scope", "Scope", ""},
		{"webhook/delivery.go", "State", "DeliveryState", ""},
		{"webhook/delivery.go", "Reason", "DeliveryReason", ""},
		{"webhook/payload.go", "Type", "DeliveryType", ""},
	} {
		require.ElementsMatch(t, domainConstants(t, "../domain/"+c.file, c.typ), contractEnum(t, c.schema, c.field),
			"%s in internal/domain/%s, and the schema %s %s in openapi.yaml", c.typ, c.file, c.schema, c.field)
	}
}

// A caller may be the operator; an API key may not.
func TestContractScopesOfCallers(t *testing.T) {
	scopes := append(contractEnum(t, "Scope", ""), string(tenant.ScopeOperator))
	require.ElementsMatch(t, scopes, contractEnum(t, "CallerScope", ""))
}

// The kinds of steps are names of server-sent events, for which OpenAPI has no enum.
func TestContractDescribesEveryStepKind(t *testing.T) {
	for _, kind := range domainConstants(t, "../domain/execution/step.go", "StepKind") {
		if !strings.Contains(string(contract.JSON()), "`event: "+kind+"`") {
			t.Errorf("the description of getExecutionEvents in openapi.yaml does not say what `event: %s` carries", kind)
		}
	}
}

func TestEveryErrorCodeIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	require.NoError(t, err)
	for _, code := range append(contractEnum(t, "Problem", "code"), contractEnum(t, "FailureCode", "")...) {
		if !strings.Contains(string(page), "| `"+code+"` |") {
			t.Errorf("add a row for the code to docs/api.md: | `%s` | … |", code)
		}
	}
}
