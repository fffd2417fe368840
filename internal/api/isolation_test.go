package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// isolationCase is how an operation is tested on a resource.
type isolationCase struct {
	resource string // the prefix of the resource's ID; empty: the operation has no resource
	body     string
	header   []string
	query    string
}

// isolationCases has every operation of the contract, with a request that succeeds for the tenant of the resource.
var isolationCases = map[string]isolationCase{
	"sendMessage":             {body: `{"message":"x"}`},
	"listConversations":       {},
	"getConversation":         {resource: id.Conversation},
	"deleteConversation":      {resource: id.Conversation},
	"cancelConversation":      {resource: id.Conversation},
	"createAgent":             {body: `{"name":"B","instructions":"C"}`},
	"listAgents":              {},
	"getAgent":                {resource: id.Agent},
	"updateAgent":             {resource: id.Agent, body: `{"name":"C"}`},
	"deleteAgent":             {resource: id.Agent},
	"listAgentVersions":       {resource: id.Agent},
	"getAgentVersion":         {resource: id.Agent},
	"createEnvironment":       {body: `{"name":"B"}`},
	"listEnvironments":        {},
	"getEnvironment":          {resource: id.Environment},
	"updateEnvironment":       {resource: id.Environment, body: `{"name":"C"}`},
	"deleteEnvironment":       {resource: id.Environment},
	"listEnvironmentVersions": {resource: id.Environment},
	"getEnvironmentVersion":   {resource: id.Environment},
	"runAgent":                {resource: id.Agent, body: `{"input":"x"}`, header: []string{"Idempotency-Key", "k"}},
	"submitBatch":             {resource: id.Agent, body: `"x"`, header: []string{"Content-Type", "application/jsonl"}},
	"listBatches":             {},
	"getBatch":                {resource: id.Batch},
	"getBatchResults":         {resource: id.Batch, query: "?follow=true"},
	"cancelBatch":             {resource: id.Batch},
	"retryBatch":              {resource: id.Batch, header: []string{"Idempotency-Key", "k2"}},
	"listExecutions":          {},
	"getExecution":            {resource: id.Execution, query: "?wait=1s"},
	"listAttempts":            {resource: id.Execution},
	"getExecutionResult":      {resource: id.Execution},
	"getExecutionFile":        {resource: id.Execution},
	"getExecutionWorkspace":   {resource: id.Execution},
	"getExecutionTranscript":  {resource: id.Execution},
	"getExecutionEvents":      {resource: id.Execution},
	"getEvents":               {},
	"cancelExecution":         {resource: id.Execution},
	"retryExecution":          {resource: id.Execution},
	"listDeliveries":          {},
	"getDelivery":             {resource: id.Delivery},
	"retryDelivery":           {resource: id.Delivery},
	"getWebhookSecret":        {},
	"rotateWebhookSecret":     {},
	"uploadFile":              {body: `x`, query: "?name=b.txt"},
	"listFiles":               {},
	"getFile":                 {resource: id.File},
	"getFileContent":          {resource: id.File},
	"deleteFile":              {resource: id.File},
	"getUsage":                {query: "?groupBy=day,agent,model,kind,lane"},
	"issueAPIKey":             {body: `{"name":"a","scopes":["read"]}`},
	"listAPIKeys":             {},
	"revokeAPIKey":            {resource: id.APIKey},
	"getCaller":               {},
	"getStatus":               {},
	"listExecutors":           {},
	"drainExecutor":           {resource: executorResource},
	"resumeExecutor":          {resource: executorResource},
	"listTenants":             {},
	"getTenant":               {resource: tenantResource},
	"updateTenant":            {resource: tenantResource, body: `{"paused":true}`},
}

// The resources of the operator have no prefixes.
const (
	executorResource = "executor"
	tenantResource   = "tenant"
)

// isOperatorOperation reports whether an operation is the operator's.
func isOperatorOperation(op *contract.Operation) bool {
	return slices.Contains(op.Scopes, contract.Scope(tenant.ScopeOperator))
}

// fillPath puts the name of a resource into a path.
func fillPath(path, resource string) string {
	return strings.NewReplacer("{id}", resource, "{name}", resource, "{version}", "1").Replace(path)
}

// This is a test of its own, without a server, so that no log lines hide its message.
func TestEveryOperationHasIsolationCase(t *testing.T) {
	known := map[string]bool{}
	for name, op := range contract.Operations() {
		known[op.ID] = true
		if _, ok := isolationCases[op.ID]; !ok && !op.Public {
			t.Errorf("%s: add a case %q to isolationCases in internal/api/isolation_test.go", name, op.ID)
		}
	}
	for operationID := range isolationCases {
		if !known[operationID] {
			t.Errorf("isolationCases has %q, but the contract has no such operation", operationID)
		}
	}
}

// forEachOperation tests all operations that have a case: all that are not public.
func forEachOperation(t *testing.T, test func(t *testing.T, op *contract.Operation, method, path string, c isolationCase)) {
	t.Helper()
	for name, op := range contract.Operations() {
		c, ok := isolationCases[op.ID]
		if !ok {
			continue // see TestEveryOperationHasIsolationCase
		}
		method, path, _ := strings.Cut(name, " ")
		t.Run(op.ID, func(t *testing.T) { test(t, op, method, strings.ReplaceAll(path, "{path}", "report.txt"), c) })
	}
}

func TestUnauthenticatedRequestsAreRejected(t *testing.T) {
	g := startWithAPIKeys(t)
	resources := g.createOneOfEach(t, g.issueKey("ada", tenant.AllScopes...))
	forEachOperation(t, func(t *testing.T, _ *contract.Operation, method, path string, c isolationCase) {
		path = fillPath(path, resources[c.resource]) + c.query
		got := g.do(method, path, c.body, c.header...)
		require.Equal(t, http.StatusUnauthorized, got.StatusCode)
		require.Equal(t, `Bearer realm="airlock"`, got.Header.Get("WWW-Authenticate"))
		require.Equal(t, contract.ProblemUnauthenticated, decodeProblem(t, got).Code)
	})
	nothing, err := http.Get(g.url + "/api/nothing") // the contract does not have this path
	require.NoError(t, err)
	require.NoError(t, nothing.Body.Close())
	require.Equal(t, http.StatusUnauthorized, nothing.StatusCode, "a caller without credentials cannot tell which paths exist")
	for _, public := range []string{"/", "/healthz", "/readyz", "/openapi.json"} {
		require.Equal(t, http.StatusOK, g.do(http.MethodGet, public, "").StatusCode, public)
	}
}

// createOneOfEach creates one resource of each kind and returns their IDs by prefix.
func (g apiKeyServer) createOneOfEach(t *testing.T, header []string) map[string]string {
	t.Helper()
	agent := call[contract.Agent](g.server, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"Confidential"}`, header...)
	environment := call[contract.Environment](g.server, "POST /environments", http.StatusCreated, `{"name":"Confidential"}`, header...)
	run := call[contract.AcceptedExecution](g.server, "POST /agents/"+agent.Id+"/run", http.StatusAccepted, `{"input":"confidential"}`, header...)
	message := call[contract.AcceptedExecution](g.server, "POST /api/conversation", http.StatusAccepted, `{"message":"confidential"}`, header...)
	withWebhook := call[contract.AcceptedExecution](g.server, "POST /agents/"+agent.Id+"/run", http.StatusAccepted, `{"input":"confidential","webhook":"https://example.com/confidential"}`, header...)
	require.Equal(t, http.StatusAccepted, g.do(http.MethodPost, withWebhook.Urls.Cancel, "", header...).StatusCode)
	deliveries := call[contract.DeliveryList](g.server, "GET /webhooks/deliveries", http.StatusOK, "", header...).Deliveries
	require.Len(t, deliveries, 1)
	batch := call[contract.Batch](g.server, "POST /agents/"+agent.Id+"/batches", http.StatusAccepted, `"confidential"`, append(header, "Content-Type", "application/jsonl")...)
	issued := call[contract.IssuedAPIKey](g.server, "POST /keys", http.StatusCreated, `{"name":"confidential","scopes":["read"]}`, header...)
	file := call[contract.File](g.server, "POST /files?name=confidential", http.StatusCreated, `confidential`, header...)
	return map[string]string{
		id.File: file.Id, id.Environment: environment.Id, id.Agent: agent.Id, id.Execution: run.ExecutionId, id.Conversation: message.ConversationId, id.Batch: batch.Id, id.APIKey: issued.Key.Id,
		id.Delivery: deliveries[0].Id, executorResource: "rack-7", tenantResource: "ada",
	}
}

// Another tenant's resource returns the same bytes as a missing one, and the request changes nothing.
func TestOtherTenantResourceIsNotFound(t *testing.T) {
	g := startWithAPIKeys(t)
	ada, bob := g.issueKey("ada", tenant.AllScopes...), g.issueKey("bob", tenant.AllScopes...)
	adas := g.createOneOfEach(t, ada)
	before := g.readAllLists(ada)
	forEachOperation(t, func(t *testing.T, op *contract.Operation, method, path string, c isolationCase) {
		if c.resource == "" || isOperatorOperation(op) {
			return // see TestListsShowOnlyOwnTenant and TestTenantsLearnNothingOfOperator
		}
		request := func(resource string) response {
			got := g.do(method, strings.ReplaceAll(path, "{id}", resource)+c.query, c.body, append(bob, c.header...)...)
			require.Equal(t, http.StatusNotFound, got.StatusCode, "%s", got.body)
			for _, varies := range []string{"Date", "X-Request-Id"} {
				got.Header.Del(varies)
			}
			got.body = []byte(strings.ReplaceAll(string(got.body), resource, "ID"))
			return got
		}
		otherTenant, missing := request(adas[c.resource]), request(id.New(c.resource))
		require.Equal(t, string(missing.body), string(otherTenant.body))
		require.Equal(t, missing.Header, otherTenant.Header)
	})
	require.Equal(t, before, g.readAllLists(ada))
}

// readAllLists returns all that the lists of a tenant show.
func (g apiKeyServer) readAllLists(header []string) string {
	g.t.Helper()
	var all strings.Builder
	for _, list := range []string{"/agents", "/environments", "/executions", "/api/conversations", "/batches", "/files", "/keys", "/webhooks/deliveries", "/webhooks/secret"} {
		got := g.do(http.MethodGet, list, "", header...)
		require.Equal(g.t, http.StatusOK, got.StatusCode)
		all.Write(got.body)
	}
	return all.String()
}

func TestListsShowOnlyOwnTenant(t *testing.T) {
	g := startWithAPIKeys(t)
	ada, bob := g.issueKey("ada", tenant.AllScopes...), g.issueKey("bob", tenant.AllScopes...)
	adas := g.createOneOfEach(t, ada)
	require.Contains(t, g.readAllLists(ada), adas[id.Agent])
	shown := g.readAllLists(bob)
	for _, resource := range adas {
		require.NotContains(t, shown, resource)
		for _, filter := range []string{"agentId", "conversationId", "batchId"} {
			got := g.do(http.MethodGet, "/executions?"+filter+"="+resource, "", bob...)
			require.NotContains(t, string(got.body), "exe_")
		}
	}
	require.NotContains(t, shown, "onfidential")
}

// An ID in a body that belongs to another tenant is the ID of a missing resource.
func TestOtherTenantReferenceIsNotFound(t *testing.T) {
	g := startWithAPIKeys(t)
	adas := g.createOneOfEach(t, g.issueKey("ada", tenant.AllScopes...))
	bob := g.issueKey("bob", tenant.AllScopes...)
	for field, prefix := range map[string]string{"agentId": id.Agent, "conversationId": id.Conversation} {
		request := func(resource string) string {
			got := g.do(http.MethodPost, "/api/conversation", `{"message":"x","`+field+`":"`+resource+`"}`, bob...)
			require.Equal(t, http.StatusNotFound, got.StatusCode)
			return strings.ReplaceAll(string(got.body), resource, "ID")
		}
		require.Equal(t, request(id.New(prefix)), request(adas[prefix]))
	}
}

// An ETag of another tenant's resource does not help.
func TestETagIsScopedToTenant(t *testing.T) {
	g := startWithAPIKeys(t)
	ada, bob := g.issueKey("ada", tenant.AllScopes...), g.issueKey("bob", tenant.AllScopes...)
	adas := g.createOneOfEach(t, ada)
	path := "/executions/" + adas[id.Execution]
	require.Equal(t, http.StatusAccepted, g.do(http.MethodPost, path+"/cancel", "", ada...).StatusCode)
	tag := g.do(http.MethodGet, path, "", ada...).Header.Get("ETag")
	require.NotEmpty(t, tag)
	require.Equal(t, http.StatusNotModified, g.do(http.MethodGet, path, "", append(ada, "If-None-Match", tag)...).StatusCode)
	require.Equal(t, http.StatusNotFound, g.do(http.MethodGet, path, "", append(bob, "If-None-Match", tag)...).StatusCode)
}
