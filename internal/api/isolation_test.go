package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// trial is how an operation is tried on a resource.
type trial struct {
	of     string // prefix of the IDs of what it is about; "": of nothing in particular
	body   string
	header []string
	query  string
}

// trials are the rows of the matrix: every operation of the contract, tried as
// it would succeed for the resource's owner.
var trials = map[string]trial{
	"sendMessage":         {body: `{"message":"x"}`},
	"listConversations":   {},
	"getConversation":     {of: id.Conversation},
	"deleteConversation":  {of: id.Conversation},
	"cancelConversation":  {of: id.Conversation},
	"createAgent":         {body: `{"name":"B","instructions":"C"}`},
	"listAgents":          {},
	"getAgent":            {of: id.Agent},
	"updateAgent":         {of: id.Agent, body: `{"name":"C"}`},
	"deleteAgent":         {of: id.Agent},
	"runAgent":            {of: id.Agent, body: `{"input":"x"}`, header: []string{"Idempotency-Key", "k"}},
	"submitBatch":         {of: id.Agent, body: `"x"`, header: []string{"Content-Type", "application/jsonl"}},
	"listBatches":         {},
	"getBatch":            {of: id.Batch},
	"getBatchResults":     {of: id.Batch, query: "?follow=true"},
	"cancelBatch":         {of: id.Batch},
	"retryBatch":          {of: id.Batch, header: []string{"Idempotency-Key", "k2"}},
	"listExecutions":      {},
	"getExecution":        {of: id.Execution, query: "?wait=1s"},
	"getExecutionResult":  {of: id.Execution},
	"getExecutionFile":    {of: id.Execution},
	"getExecutionEvents":  {of: id.Execution},
	"cancelExecution":     {of: id.Execution},
	"retryExecution":      {of: id.Execution},
	"listDeliveries":      {},
	"getDelivery":         {of: id.Delivery},
	"retryDelivery":       {of: id.Delivery},
	"getWebhookSecret":    {},
	"rotateWebhookSecret": {},
	"issueKey":            {body: `{"name":"a","scopes":["read"]}`},
	"listKeys":            {},
	"revokeKey":           {of: id.Key},
}

// eachOperation calls try for all operations that are not open to everybody,
// and fails for those without a row.
func eachOperation(t *testing.T, try func(t *testing.T, method, path string, row trial)) {
	t.Helper()
	for name, op := range contract.Operations() {
		if len(op.Scopes) == 0 {
			continue
		}
		row, ok := trials[op.ID]
		require.True(t, ok, "%s (%s) has no row in the matrix of isolation", op.ID, name)
		method, path, _ := strings.Cut(name, " ")
		t.Run(op.ID, func(t *testing.T) { try(t, method, strings.ReplaceAll(path, "{path}", "report.txt"), row) })
	}
}

func TestWithoutCredentialsNothingIsTold(t *testing.T) {
	g := startGuarded(t)
	belongings := g.belongings(t, g.key("ada", tenant.All...))
	eachOperation(t, func(t *testing.T, method, path string, row trial) {
		path = strings.ReplaceAll(path, "{id}", belongings[row.of]) + row.query
		got := g.do(method, path, row.body, row.header...)
		require.Equal(t, http.StatusUnauthorized, got.StatusCode)
		require.Equal(t, `Bearer realm="airlock"`, got.Header.Get("WWW-Authenticate"))
		require.Equal(t, contract.ProblemUnauthenticated, problemOf(t, got).Code)
	})
	nothing, err := http.Get(g.url + "/api/nothing") // which the contract does not have
	require.NoError(t, err)
	require.NoError(t, nothing.Body.Close())
	require.Equal(t, http.StatusUnauthorized, nothing.StatusCode, "not even what there is not")
	for _, open := range []string{"/", "/healthz", "/readyz", "/openapi.json"} {
		require.Equal(t, http.StatusOK, g.do(http.MethodGet, open, "").StatusCode, open)
	}
}

// belongings makes one of each resource, and returns their IDs by prefix.
func (g guarded) belongings(t *testing.T, header []string) map[string]string {
	t.Helper()
	agent := call[contract.Agent](g.server, http.MethodPost, "/agents", http.StatusCreated, `{"name":"A","instructions":"Confidential"}`, header...)
	ran := call[contract.Accepted](g.server, http.MethodPost, "/agents/"+agent.Id+"/run", http.StatusAccepted, `{"input":"confidential"}`, header...)
	said := call[contract.Accepted](g.server, http.MethodPost, "/api/conversation", http.StatusAccepted, `{"message":"confidential"}`, header...)
	told := call[contract.Accepted](g.server, http.MethodPost, "/agents/"+agent.Id+"/run", http.StatusAccepted, `{"input":"confidential","webhook":"https://example.com/confidential"}`, header...)
	require.Equal(t, http.StatusAccepted, g.do(http.MethodPost, told.Urls.Cancel, "", header...).StatusCode)
	deliveries := call[contract.DeliveryList](g.server, http.MethodGet, "/webhooks/deliveries", http.StatusOK, "", header...).Deliveries
	require.Len(t, deliveries, 1)
	batch := call[contract.Batch](g.server, http.MethodPost, "/agents/"+agent.Id+"/batches", http.StatusAccepted, `"confidential"`, append(header, "Content-Type", "application/jsonl")...)
	issued := call[contract.IssuedKey](g.server, http.MethodPost, "/keys", http.StatusCreated, `{"name":"confidential","scopes":["read"]}`, header...)
	return map[string]string{
		id.Agent: agent.Id, id.Execution: ran.ExecutionId, id.Conversation: said.ConversationId, id.Batch: batch.Id, id.Key: issued.Key.Id,
		id.Delivery: deliveries[0].Id,
	}
}

// What is another tenant's looks like what never was, to the byte; and trying
// changes nothing.
func TestAnotherTenantsResourceIsLikeNone(t *testing.T) {
	g := startGuarded(t)
	ada, bob := g.key("ada", tenant.All...), g.key("bob", tenant.All...)
	adas := g.belongings(t, ada)
	before := g.everything(ada)
	eachOperation(t, func(t *testing.T, method, path string, row trial) {
		if row.of == "" {
			return // TestListsShowTheirTenantsOwn
		}
		tried := func(resource string) answered {
			got := g.do(method, strings.ReplaceAll(path, "{id}", resource)+row.query, row.body, append(bob, row.header...)...)
			require.Equal(t, http.StatusNotFound, got.StatusCode, "%s", got.body)
			for _, varies := range []string{"Date", "X-Request-Id"} {
				got.Header.Del(varies)
			}
			got.body = []byte(strings.ReplaceAll(string(got.body), resource, "ID"))
			return got
		}
		theirs, never := tried(adas[row.of]), tried(id.New(row.of))
		require.Equal(t, string(never.body), string(theirs.body))
		require.Equal(t, never.Header, theirs.Header)
	})
	require.Equal(t, before, g.everything(ada))
}

// everything is what the lists show.
func (g guarded) everything(header []string) string {
	g.t.Helper()
	var all strings.Builder
	for _, list := range []string{"/agents", "/executions", "/api/conversations", "/batches", "/keys", "/webhooks/deliveries", "/webhooks/secret"} {
		got := g.do(http.MethodGet, list, "", header...)
		require.Equal(g.t, http.StatusOK, got.StatusCode)
		all.Write(got.body)
	}
	return all.String()
}

func TestListsShowTheirTenantsOwn(t *testing.T) {
	g := startGuarded(t)
	ada, bob := g.key("ada", tenant.All...), g.key("bob", tenant.All...)
	adas := g.belongings(t, ada)
	require.Contains(t, g.everything(ada), adas[id.Agent])
	shown := g.everything(bob)
	for _, resource := range adas {
		require.NotContains(t, shown, resource)
		for _, filter := range []string{"agentId", "conversationId", "batchId"} {
			got := g.do(http.MethodGet, "/executions?"+filter+"="+resource, "", bob...)
			require.NotContains(t, string(got.body), "exe_")
		}
	}
	require.NotContains(t, shown, "onfidential")
}

// References to another's in a body are to nothing, too.
func TestAnotherTenantsResourceCannotBeReferredTo(t *testing.T) {
	g := startGuarded(t)
	adas := g.belongings(t, g.key("ada", tenant.All...))
	bob := g.key("bob", tenant.All...)
	for field, prefix := range map[string]string{"agentId": id.Agent, "conversationId": id.Conversation} {
		said := func(resource string) string {
			got := g.do(http.MethodPost, "/api/conversation", `{"message":"x","`+field+`":"`+resource+`"}`, bob...)
			require.Equal(t, http.StatusNotFound, got.StatusCode)
			return strings.ReplaceAll(string(got.body), resource, "ID")
		}
		require.Equal(t, said(id.New(prefix)), said(adas[prefix]))
	}
}

// An answer that ada may keep tells bob nothing.
func TestAnEntityTagIsItsTenantsOwn(t *testing.T) {
	g := startGuarded(t)
	ada, bob := g.key("ada", tenant.All...), g.key("bob", tenant.All...)
	adas := g.belongings(t, ada)
	path := "/executions/" + adas[id.Execution]
	require.Equal(t, http.StatusAccepted, g.do(http.MethodPost, path+"/cancel", "", ada...).StatusCode)
	tag := g.do(http.MethodGet, path, "", ada...).Header.Get("ETag")
	require.NotEmpty(t, tag)
	require.Equal(t, http.StatusNotModified, g.do(http.MethodGet, path, "", append(ada, "If-None-Match", tag)...).StatusCode)
	require.Equal(t, http.StatusNotFound, g.do(http.MethodGet, path, "", append(bob, "If-None-Match", tag)...).StatusCode)
}
