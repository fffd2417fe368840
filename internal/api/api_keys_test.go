package api

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

// apiKeyServer is a server that authenticates callers by API keys.
type apiKeyServer struct {
	server
	pepper      apikey.Pepper
	clockOffset *atomic.Int64 // added to the clock of the key verifier
}

func startWithAPIKeys(t testing.TB, change ...func(*Config, *store.Store)) apiKeyServer {
	t.Helper()
	pepper, err := apikey.NewPepper([]byte(strings.Repeat("pepper", 6)))
	require.NoError(t, err)
	g := apiKeyServer{pepper: pepper, clockOffset: new(atomic.Int64)}
	keyed := func(c *Config, s *store.Store) {
		c.APIKeyPepper, c.OperatorKey = &pepper, testOperatorKey(t)
		c.Auth = auth.NewKeyVerifier(s, pepper, func() time.Time { return time.Now().Add(time.Duration(g.clockOffset.Load())) })
	}
	g.server = startServer(t, append([]func(*Config, *store.Store){keyed}, change...)...)
	return g
}

// expireKeyCache makes the server look all keys up again.
func (g apiKeyServer) expireKeyCache() { g.clockOffset.Add(int64(10 * time.Second)) }

// issueKey issues a key as the operator does, and returns the header with its secret.
func (g apiKeyServer) issueKey(tenant string, scopes ...tenant.Scope) []string {
	g.t.Helper()
	k, secret := apikey.New(g.pepper, tenant, "test", scopes)
	require.NoError(g.t, g.store.CreateAPIKey(g.t.Context(), &k, 0))
	return bearerHeader(secret.Reveal())
}

func bearerHeader(secret string) []string { return []string{"Authorization", "Bearer " + secret} }

func decodeProblem(t testing.TB, got response) contract.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", got.Header.Get("Content-Type"), "%s", got.body)
	var p contract.Problem
	require.NoError(t, json.Unmarshal(got.body, &p))
	return p
}

func TestAPIKeyLifecycle(t *testing.T) {
	g := startWithAPIKeys(t)
	admin := g.issueKey("ada", tenant.AllScopes...)
	issued := call[contract.IssuedAPIKey](g.server, "POST /keys", http.StatusCreated, `{"name":"ci","scopes":["read","run"],"expiresIn":"1h"}`, admin...)
	require.WithinDuration(t, issued.Key.CreatedAt.Add(time.Hour), issued.Key.ExpiresAt, 0)

	mine := bearerHeader(issued.Secret)
	call[contract.AgentList](g.server, "GET /agents", http.StatusOK, "", mine...)
	used := map[string]bool{}
	for _, k := range call[contract.APIKeyList](g.server, "GET /keys", http.StatusOK, "", admin...).Keys {
		used[k.Id] = k.LastUsedAt.After(issued.Key.CreatedAt)
	}
	require.True(t, used[issued.Key.Id], "the list has the time of the last use")
	list := g.do(http.MethodGet, "/keys", "", admin...)
	require.Contains(t, string(list.body), issued.Key.Id)
	require.NotContains(t, string(list.body), issued.Secret, "the secret is shown once")

	got := g.do(http.MethodDelete, "/keys/"+issued.Key.Id, "", admin...)
	require.Equal(t, http.StatusNoContent, got.StatusCode)
	g.expireKeyCache()
	got = g.do(http.MethodGet, "/agents", "", mine...)
	require.Equal(t, http.StatusUnauthorized, got.StatusCode)
	require.Equal(t, `Bearer realm="airlock", error="invalid_token"`, got.Header.Get("WWW-Authenticate"))
	got = g.do(http.MethodDelete, "/keys/"+issued.Key.Id, "", admin...)
	require.Equal(t, http.StatusNotFound, got.StatusCode, "the key is revoked already")
}

// Long responses end when the key of their request is revoked.
func TestRevokedKeyEndsOpenStreams(t *testing.T) {
	g := startWithAPIKeys(t)
	ada := g.issueKey("ada", tenant.AllScopes...)
	adas := g.createOneOfEach(t, ada)
	for name, path := range map[string]string{
		"events":  "/executions/" + adas[id.Execution] + "/events",
		"results": "/batches/" + adas[id.Batch] + "/results?follow=true",
		"poll":    "/executions/" + adas[id.Execution] + "?wait=1s",
	} {
		t.Run(name, func(t *testing.T) {
			k, secret := apikey.New(g.pepper, "ada", "test", []tenant.Scope{tenant.ScopeRead})
			require.NoError(t, g.store.CreateAPIKey(t.Context(), &k, 0))
			started, status := make(chan struct{}, 1), make(chan int)
			before := g.store.reads.Load()
			go func() {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+path, nil)
				req.Header.Set("Authorization", "Bearer "+secret.Reveal())
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					status <- 0
					return
				}
				defer res.Body.Close()
				started <- struct{}{}
				_, _ = io.Copy(io.Discard, res.Body) // until it ends
				status <- res.StatusCode
			}()
			if name == "poll" { // it has no response yet, but is authenticated
				require.Eventually(t, func() bool { return g.store.reads.Load() > before }, 10*time.Second, time.Millisecond)
			} else {
				<-started
			}
			require.NoError(t, g.store.RevokeAPIKey(t.Context(), "ada", k.ID))
			g.expireKeyCache()
			g.wake(execution.Ref{Tenant: "ada", ID: adas[id.Execution]}) // the poll interval of 2 s would do the same
			g.wake(execution.Ref{Tenant: "ada", ID: (&batch.Batch{ID: adas[id.Batch]}).ExecutionID(0)})
			want := http.StatusOK
			if name == "poll" {
				want = http.StatusUnauthorized
			}
			require.Equal(t, want, <-status)
		})
	}
}

// A web page of an allowed origin may send an API key.
func TestCORSAllowsAuthorizationHeader(t *testing.T) {
	g := startWithAPIKeys(t, func(c *Config, _ *store.Store) { c.Origins = []string{"https://page.example"} })
	for origin, allowed := range map[string]string{"https://page.example": "https://page.example", "https://evil.example": ""} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, g.url+"/agents", nil)
		require.NoError(t, err)
		req.Header.Set("Origin", origin)
		req.Header.Set("Access-Control-Request-Method", http.MethodPost)
		req.Header.Set("Access-Control-Request-Headers", "authorization,content-type,idempotency-key")
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, allowed, res.Header.Get("Access-Control-Allow-Origin"))
		if allowed != "" {
			require.Contains(t, res.Header.Get("Access-Control-Allow-Headers"), "Authorization")
			require.Contains(t, res.Header.Get("Access-Control-Allow-Headers"), "Idempotency-Key")
		}
	}
}

func TestIssueKeyCannotExceedIssuerScopes(t *testing.T) {
	g := startWithAPIKeys(t)
	got := g.do(http.MethodPost, "/keys", `{"name":"more","scopes":["agents","keys"]}`, g.issueKey("ada", tenant.ScopeKeys)...)
	require.Equal(t, http.StatusForbidden, got.StatusCode)
	require.Contains(t, decodeProblem(t, got).Detail, "agents")
	require.NotContains(t, decodeProblem(t, got).Detail, "keys")
}

func TestIssueKeyValidation(t *testing.T) {
	g := startWithAPIKeys(t)
	admin := g.issueKey("ada", tenant.AllScopes...)
	for body, field := range map[string]string{
		`{"name":" ","scopes":["read"]}`:                    "name",
		`{"name":"a\u0000","scopes":["read"]}`:              "name",
		`{"name":"a","scopes":[]}`:                          "scopes",
		`{"name":"a","scopes":["root"]}`:                    "scopes",
		`{"name":"a","scopes":["read","read"]}`:             "scopes",
		`{"name":"a","scopes":["read"],"expiresIn":"soon"}`: "expiresIn",
		`{"name":"a","scopes":["read"],"expiresIn":"-1h"}`:  "expiresIn",
	} {
		got := g.do(http.MethodPost, "/keys", body, admin...)
		require.Equal(t, http.StatusBadRequest, got.StatusCode, body)
		require.Contains(t, decodeProblem(t, got).Detail, field, body)
	}
	require.Len(t, call[contract.APIKeyList](g.server, "GET /keys", http.StatusOK, "", admin...).Keys, 1)
}

func TestAPIKeysDisabled(t *testing.T) {
	s := startServer(t)
	for _, request := range [][3]string{
		{http.MethodPost, "/keys", `{"name":"a","scopes":["read"]}`}, {http.MethodGet, "/keys"}, {http.MethodDelete, "/keys/key_000000000000000000000000"},
	} {
		got := s.do(request[0], request[1], request[2])
		require.Equal(t, http.StatusConflict, got.StatusCode)
		require.Equal(t, contract.ProblemAPIKeysDisabled, decodeProblem(t, got).Code)
	}
}

// Every operation is public or declares one existing scope.
func TestEveryOperationDeclaresScope(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string                `json:"operationId"`
			Security    []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	var loose struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(contract.JSON(), &loose))
	for _, item := range loose.Paths {
		delete(item, "parameters")
	}
	data, err := json.Marshal(loose)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &doc))

	public := []string{"root", "health", "ready", "openapi", "docs", "metrics"}
	for path, item := range doc.Paths {
		for method, op := range item {
			name := strings.ToUpper(method) + " " + path
			require.NotNil(t, op.Security, "%s declares no scope (security)", name)
			if slices.Contains(public, op.OperationID) {
				require.Empty(t, op.Security, name)
				continue
			}
			require.Len(t, op.Security, 1, name)
			if op.OperationID == "getCaller" { // who the caller is, whatever its scopes are
				require.Empty(t, op.Security[0]["bearer"])
				continue
			}
			require.Len(t, op.Security[0]["bearer"], 1, name)
			scope := tenant.Scope(op.Security[0]["bearer"][0])
			if scope == tenant.ScopeOperator {
				continue
			}
			require.Contains(t, tenant.AllScopes, scope, name)
			secret := path == "/keys" || path == "/webhooks/secret"
			require.Equal(t, method == "get", scope == tenant.ScopeRead || secret && method == "get", "%s needs %s", name, scope)
		}
	}
}

// A caller needs the scope that the contract names, and no other scope.
func TestScopesAreEnforced(t *testing.T) {
	g := startWithAPIKeys(t)
	for name, op := range contract.Operations() {
		if len(op.Scopes) == 0 || isOperatorOperation(op) { // see TestTenantsLearnNothingOfOperator
			continue
		}
		method, path, _ := strings.Cut(name, " ")
		path = strings.NewReplacer("{id}", "exe_000000000000000000000000", "{path}", "a").Replace(path)
		needed := tenant.Scope(op.Scopes[0])
		others := slices.DeleteFunc(slices.Clone(tenant.AllScopes), func(s tenant.Scope) bool { return s == needed })
		got := g.do(method, path, "", g.issueKey("ada", others...)...)
		require.Equal(t, http.StatusForbidden, got.StatusCode, "%s: %s", name, got.body)
		require.Equal(t, contract.ProblemInsufficientScope, decodeProblem(t, got).Code)
		require.Contains(t, got.Header.Get("WWW-Authenticate"), `scope="`+string(needed)+`"`)
		if path == "/events" {
			path += "?unknown=x" // it is refused, but for another reason; the stream would not end
		}
		got = g.do(method, path, "", g.issueKey("ada", needed)...)
		require.NotEqual(t, http.StatusForbidden, got.StatusCode, "%s: %s", name, got.body)
	}
}
