package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// A tenant with every scope gets the same 403 on each operation of the operator, whether the executor or the tenant
// exists or not, and changes nothing.
func TestTenantsLearnNothingOfOperator(t *testing.T) {
	g := startWithAPIKeys(t)
	ada, bob := g.issueKey("ada", tenant.AllScopes...), g.issueKey("bob", tenant.AllScopes...)
	resources := g.createOneOfEach(t, ada)
	g.addExecutor("rack-7", "prc_1.1")
	g.addFleet("prc_1")
	require.Equal(t, http.StatusOK, g.do(http.MethodPatch, "/tenants/ada", `{"maxQueued":17}`, asOperator...).StatusCode)
	before := g.readAllOfOperator()
	tested := 0
	forEachOperation(t, func(t *testing.T, op *contract.Operation, method, path string, c isolationCase) {
		if !isOperatorOperation(op) {
			return
		}
		tested++
		request := func(resource string, header []string) response {
			got := g.do(method, fillPath(path, resource)+c.query, c.body, append(header, operatorHeader, "true")...)
			require.Equal(t, http.StatusForbidden, got.StatusCode, "%s", got.body)
			require.Equal(t, contract.ProblemInsufficientScope, decodeProblem(t, got).Code)
			for _, varies := range []string{"Date", "X-Request-Id"} {
				got.Header.Del(varies)
			}
			got.body = []byte(strings.ReplaceAll(string(got.body), fillPath(path, resource), "PATH"))
			return got
		}
		missing := request(strings.Repeat("x", len(resources[c.resource])), bob) // problems repeat the path
		for _, header := range [][]string{ada, bob} {
			existing := request(resources[c.resource], header)
			require.Equal(t, string(missing.body), string(existing.body))
			require.Equal(t, missing.Header, existing.Header)
			require.NotContains(t, string(existing.body), "confidential")
		}
	})
	require.Equal(t, 7, tested)
	require.Equal(t, before, g.readAllOfOperator())
	require.Equal(t, http.StatusBadRequest, g.do(http.MethodPost, "/keys", `{"name":"x","scopes":["operator"]}`, ada...).StatusCode)
}

// The operator is no tenant: it reads, starts and changes nothing of any tenant, and what it sees of tenants holds no
// text of theirs.
func TestOperatorLearnsNothingOfTenantsData(t *testing.T) {
	g := startWithAPIKeys(t)
	ada := g.issueKey("ada", tenant.AllScopes...)
	resources := g.createOneOfEach(t, ada)
	g.addFleet("prc_1")
	require.Equal(t, http.StatusOK, g.do(http.MethodPatch, "/tenants/ada", `{"paused":false}`, asOperator...).StatusCode)
	before := g.readAllLists(ada)
	forEachOperation(t, func(t *testing.T, op *contract.Operation, method, path string, c isolationCase) {
		if isOperatorOperation(op) || op.ID == "getCaller" {
			got := g.do(method, fillPath(path, resources[c.resource])+c.query, c.body, asOperator...)
			require.NotContains(t, string(got.body), "onfidential")
			return
		}
		got := g.do(method, fillPath(path, resources[c.resource])+c.query, c.body, append(asOperator, append(c.header, tenantHeader, "ada")...)...)
		require.Equal(t, http.StatusForbidden, got.StatusCode, "%s", got.body)
	})
	got := g.do(http.MethodGet, "/executions/"+resources["exe_"]+"/files/a/b", "", asOperator...) // outside of the contract
	require.Equal(t, http.StatusForbidden, got.StatusCode)
	require.Equal(t, before, g.readAllLists(ada))
}

// readAllOfOperator returns all that the operator sees, but for times.
func (g apiKeyServer) readAllOfOperator() string {
	g.t.Helper()
	var all strings.Builder
	for _, path := range []string{"/executors", "/tenants", "/tenants/ada", "/tenants/bob"} {
		got := g.do(http.MethodGet, path, "", asOperator...)
		require.Equal(g.t, http.StatusOK, got.StatusCode, "%s", got.body)
		all.Write(got.body)
	}
	return all.String()
}

// A key cannot have the operator's scope, even if its document says so.
func TestStoredKeyWithOperatorScope(t *testing.T) {
	g := startWithAPIKeys(t)
	forged := g.issueKey("ada", tenant.ScopeRead, tenant.ScopeOperator)
	require.Equal(t, http.StatusForbidden, g.do(http.MethodGet, "/tenants", "", forged...).StatusCode)
	caller := call[contract.Caller](g.server, "GET /me", http.StatusOK, "", forged...)
	require.Equal(t, contract.Caller{Tenant: "ada", Scopes: []contract.CallerScope{contract.CallerRead}}, caller)
}
