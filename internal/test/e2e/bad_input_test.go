package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

const (
	noExecution    = "/executions/exe_000000000000000000000000"
	noConversation = "con_000000000000000000000000"
	noAgent        = "agt_000000000000000000000000"
)

// Each invalid request gets a problem whose detail says what is wrong.
func TestBadInput(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	run := "/agents/" + agent.Id + "/run"
	large := strings.Repeat("x", 256<<10+1)
	for name, tc := range map[string]struct {
		method, path, contentType, body string
		status                          int
		code, detail                    string
	}{
		"malformed JSON":             {"POST", "/api/conversation", jsonType, `{"message":`, 400, "invalid_request", "not valid JSON"},
		"not JSON":                   {"POST", "/api/conversation", jsonType, `hello`, 400, "invalid_request", "not valid JSON"},
		"empty body":                 {"POST", "/api/conversation", jsonType, ``, 400, "invalid_request", "JSON object"},
		"an array":                   {"POST", "/api/conversation", jsonType, `[]`, 400, "invalid_request", "array"},
		"two documents":              {"POST", "/api/conversation", jsonType, `{"message":"a"}{"message":"b"}`, 400, "invalid_request", "not valid JSON"},
		"unknown field":              {"POST", "/api/conversation", jsonType, `{"message":"a","mesage":"b"}`, 400, "invalid_request", "mesage"},
		"field in another case":      {"POST", "/api/conversation", jsonType, `{"Message":"a"}`, 400, "invalid_request", "Message"},
		"repeated field":             {"POST", "/api/conversation", jsonType, `{"message":"a","message":"b"}`, 400, "invalid_request", "is repeated"},
		"wrong type":                 {"POST", "/api/conversation", jsonType, `{"message":7}`, 400, "invalid_request", "number"},
		"null":                       {"POST", "/api/conversation", jsonType, `null`, 400, "invalid_request", "object"},
		"no message":                 {"POST", "/api/conversation", jsonType, `{}`, 400, "invalid_request", "message"},
		"empty message":              {"POST", "/api/conversation", jsonType, `{"message":""}`, 400, "invalid_request", "message"},
		"blank message":              {"POST", "/api/conversation", jsonType, `{"message":" \n\t"}`, 400, "invalid_request", "message"},
		"NUL in the message":         {"POST", "/api/conversation", jsonType, `{"message":"a\u0000b"}`, 400, "invalid_request", "NUL"},
		"not UTF-8":                  {"POST", "/api/conversation", jsonType, "{\"message\":\"\xff\xfe\"}", 400, "invalid_request", "UTF-8"},
		"half a surrogate":           {"POST", "/api/conversation", jsonType, `{"message":"\ud800"}`, 400, "invalid_request", "UTF-8"},
		"message too large":          {"POST", "/api/conversation", jsonType, `{"message":"` + large + `"}`, 413, "content_too_large", "262144"},
		"body too large":             {"POST", "/api/conversation", jsonType, `{"message":"` + strings.Repeat(large, 8) + `"}`, 413, "content_too_large", "2097152"},
		"form":                       {"POST", "/api/conversation", "application/x-www-form-urlencoded", `message=a`, 415, "unsupported_media_type", "application/json"},
		"no content type":            {"POST", "/api/conversation", "", `{"message":"a"}`, 415, "unsupported_media_type", "application/json"},
		"unknown conversation":       {"POST", "/api/conversation", jsonType, `{"message":"a","conversationId":"` + noConversation + `"}`, 404, "not_found", "conversation"},
		"malformed conversation ID":  {"POST", "/api/conversation", jsonType, `{"message":"a","conversationId":"../../x"}`, 404, "not_found", "conversation"},
		"message to unknown agent":   {"POST", "/api/conversation", jsonType, `{"message":"a","agentId":"` + noAgent + `"}`, 404, "not_found", "agent"},
		"read unknown conversation":  {"GET", "/api/conversation/" + noConversation, "", "", 404, "not_found", "conversation"},
		"wrong method":               {"DELETE", "/api/conversations", "", "", 405, "method_not_allowed", "method"},
		"unknown path":               {"GET", "/api/nothing", "", "", 404, "route_not_found", "openapi.json"},
		"unknown execution":          {"GET", noExecution, "", "", 404, "not_found", "execution"},
		"malformed execution ID":     {"GET", "/executions/%2e%2e%2fagents", "", "", 404, "not_found", "execution"},
		"cancel unknown execution":   {"POST", noExecution + "/cancel", "", "", 404, "not_found", "execution"},
		"malformed wait":             {"GET", noExecution + "?wait=soon", "", "", 400, "invalid_request", "wait"},
		"wait too long":              {"GET", noExecution + "?wait=1h", "", "", 400, "invalid_request", "60s"},
		"malformed limit":            {"GET", "/executions?limit=many", "", "", 400, "invalid_request", "limit"},
		"limit too large":            {"GET", "/executions?limit=1000", "", "", 400, "invalid_request", "limit"},
		"agent without instructions": {"POST", "/agents", jsonType, `{"name":"A"}`, 400, "invalid_request", "instructions"},
		"agent with unknown runtime": {"POST", "/agents", jsonType, `{"name":"A","instructions":"B","runtime":"perl"}`, 400, "invalid_request", "offline"},
		"agent, malformed time-out":  {"POST", "/agents", jsonType, `{"name":"A","instructions":"B","timeout":"2 days"}`, 400, "invalid_request", "90s"},
		"agent, time-out too long":   {"POST", "/agents", jsonType, `{"name":"A","instructions":"B","timeout":"2h"}`, 400, "invalid_request", "1h"},
		"run of unknown agent":       {"POST", "/agents/" + noAgent + "/run", jsonType, `{"input":"a"}`, 404, "not_found", "agent"},
		"run without input":          {"POST", run, jsonType, `{}`, 400, "invalid_request", "input"},
		"run with negative time-out": {"POST", run, jsonType, `{"input":"a","timeout":"-1s"}`, 400, "invalid_request", "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.do(tc.method, tc.path, tc.contentType, []byte(tc.body))
			require.Equal(t, tc.status, got.StatusCode, "%s", got.body)
			require.Equal(t, "application/problem+json", got.Header.Get("Content-Type"))
			var p contract.Problem
			got.decode(t, &p)
			require.Equal(t, tc.status, p.Status)
			require.Equal(t, tc.code, string(p.Code))
			require.Contains(t, p.Detail, tc.detail)
			require.NotContains(t, string(got.body), "goroutine")
			require.NotContains(t, string(got.body), ".go:")
		})
	}

	var list contract.ExecutionList
	a.get("/executions", &list)
	require.Empty(t, list.Executions, "a rejected request stores nothing")
}

func TestAllInvalidFieldsAreReported(t *testing.T) {
	t.Parallel()
	a := start(t)
	got := a.do(http.MethodPost, "/agents", jsonType, []byte(`{"name":" ","instructions":" ","runtime":"perl","timeout":"x"}`))
	var p contract.Problem
	got.decode(t, &p)
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Field)
	}
	require.ElementsMatch(t, []string{"name", "instructions", "runtime", "timeout"}, fields)
}

// Neither a shell, a command line nor a terminal interprets a text on its way.
func TestTextReachesAgentUnchanged(t *testing.T) {
	t.Parallel()
	a := start(t)
	upper := a.createAgent(contract.CreateAgent{Name: "Upper", Instructions: "Convert the input to upper case", Runtime: "offline"})
	for _, text := range []string{
		`'; rm -rf / #`, `$(id)`, "`id`", `--dangerously-skip-permissions`, `/exit`, `-p`, "line\r\nline", "🧪 é ü 한국어", `{"a":"b"}`, `\u0000`,
	} {
		e := a.awaitExecution(a.runAgent(upper.Id, text).ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%q: %+v", text, e.Error)
		require.Equal(t, strings.TrimSpace(strings.ToUpper(text)), strings.TrimSpace(e.Result.Text))
	}
}

func TestForeignHostIsRejected(t *testing.T) {
	t.Parallel()
	a := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL+"/agents", nil)
	require.NoError(t, err)
	req.Host = "attacker.example"
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusForbidden, res.StatusCode, "an attacker may point a name at the loopback address")
}

func TestTenantHeaderIsValidated(t *testing.T) {
	t.Parallel()
	a := start(t)
	for _, tenant := range []string{"a/b", "..", "__x__", "a b", strings.Repeat("x", 129)} {
		got := a.asTenant(tenant).do(http.MethodGet, "/agents", "", nil)
		require.Equal(t, http.StatusBadRequest, got.StatusCode, tenant)
	}
}
