package contract

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// The validator checks references, schemas and examples.
func TestDocumentIsValidOpenAPI(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(source)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()))
	require.True(t, strings.HasPrefix(doc.OpenAPI, "3.1."))
	used := map[string]bool{}
	for name, op := range operations(doc) {
		t.Run(name, func(t *testing.T) { checkOperation(t, name, op) })
		require.False(t, used[op.OperationID], "%s: another operation has the same ID", name)
		used[op.OperationID] = true
	}
	require.Len(t, used, len(Operations()), "every operation is compiled")
}

func operations(doc *openapi3.T) map[string]*openapi3.Operation {
	byName := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			byName[method+" "+path] = op
		}
	}
	return byName
}

// checkOperation checks the rules of this project.
func checkOperation(t *testing.T, name string, op *openapi3.Operation) {
	require.NotEmpty(t, op.OperationID)
	require.NotEmpty(t, op.Summary)
	require.False(t, strings.HasSuffix(op.Summary, "."), "a summary has no period")
	require.Len(t, op.Tags, 1)
	require.Nil(t, op.Responses.Default(), "every status is listed")
	statuses := []int{http.StatusBadRequest, http.StatusInternalServerError}
	if strings.Contains(name, "{id}") {
		statuses = append(statuses, http.StatusNotFound)
	}
	if op.RequestBody != nil {
		statuses = append(statuses, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	for _, status := range statuses {
		require.NotNil(t, op.Responses.Status(status), "%d", status)
	}
	for code, response := range op.Responses.Map() {
		status, err := strconv.Atoi(code)
		require.NoError(t, err)
		require.NotEmpty(t, *response.Value.Description, code)
		if status >= http.StatusBadRequest && len(response.Value.Content) > 0 && name != "GET /readyz" {
			require.NotNil(t, response.Value.Content.Get("application/problem+json"), "%s is a problem", code)
		}
	}
}
