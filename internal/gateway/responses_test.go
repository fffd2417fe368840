package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

const (
	responses = "/v1/responses"
	gpt       = "gpt-of-tomorrow"
)

// openResponsesEndpoint opens an endpoint whose upstream has the Responses API.
func openResponsesEndpoint(t *testing.T, upstream *modelstub.Server, change ...func(*gateway.Policy)) *testEndpoint {
	t.Helper()
	p := gateway.Policy{Routes: []gateway.Route{{Method: http.MethodPost, Target: responses}}, Models: []string{gpt}}
	for _, c := range change {
		c(&p)
	}
	return openEndpointWithPolicy(t, upstream, p, func(s *gateway.Config) { s.API = gateway.ResponsesAPI })
}

func (w *testEndpoint) postResponses(body string, header ...string) response {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://sandbox"+responses, strings.NewReader(body))
	require.NoError(w.t, err)
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	return w.do(request)
}

// input returns a request with these items, in the form that Codex CLI 0.169.0 sends.
func input(items string, more ...string) string {
	return fmt.Sprintf(`{"model":%q,"stream":true,"input":[%s],"tool_choice":"auto","parallel_tool_calls":true,"reasoning":{"summary":"auto"},
		"store":false,"include":["reasoning.encrypted_content"],"prompt_cache_key":"x","client_metadata":{"id":"x"}%s}`,
		gpt, items, strings.Join(more, ""))
}

const helloItem = `{"type":"message","id":"msg_1","role":"user","content":[{"type":"input_text","text":"hello"}]}`

// responsesAnswer returns a response of the Responses API, as a stream.
func responsesAnswer(usage string) modelstub.Response {
	return modelstub.Raw(http.StatusOK, http.Header{"Content-Type": {"text/event-stream"}}, fmt.Sprintf(
		"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"usage\":null}}\n\n"+
			"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"model\":%q,\"usage\":%s}}\n\n", gpt, usage))
}

const used120 = `{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"output_tokens":20,"total_tokens":120}`

func TestResponsesAPI(t *testing.T) {
	upstream := startModel(t, modelstub.Always(responsesAnswer(used120)))
	w := openResponsesEndpoint(t, upstream, func(p *gateway.Policy) { p.Prices = map[string]gateway.Price{gpt: {Input: 1, Output: 10}} })
	got := w.postResponses(input(helloItem), "Authorization", "Bearer mine", "X-Api-Key", "mine", "Openai-Organization", "mine", "Anthropic-Version", "2024-01-01")
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.body, "response.completed")
	sent := upstream.Requests()[0]
	require.Equal(t, []string{"Bearer " + key}, sent.Header["Authorization"])
	for _, name := range []string{"X-Api-Key", "Openai-Organization", "Anthropic-Version"} {
		require.NotContains(t, sent.Header, name)
	}
	s := closeAndSummarize(t, w)
	require.Equal(t, gateway.Tokens{Input: 60, CacheRead: 40, Output: 20}, s.Tokens)
	require.InDelta(t, (60+4+200)/1e6, s.CostUSD, 1e-12)
	require.Zero(t, s.EstimatedCalls)
	require.Zero(t, s.UnpricedCalls)
}

func TestResponsesAPIWithoutStream(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Raw(http.StatusOK, nil, `{"model":"`+gpt+`","usage":`+used120+`}`)))
	w := openResponsesEndpoint(t, upstream)
	require.Equal(t, http.StatusOK, w.postResponses(input(helloItem)).status)
	s := closeAndSummarize(t, w)
	require.EqualValues(t, 120, s.Tokens.Total())
	require.EqualValues(t, 1, s.UnpricedCalls)
}

func TestResponsesAPIFailure(t *testing.T) {
	for code, status := range map[string]int{"rate_limit_exceeded": http.StatusTooManyRequests, "server_error": http.StatusInternalServerError} {
		upstream := startModel(t, modelstub.Always(modelstub.Raw(http.StatusOK, http.Header{"Content-Type": {"text/event-stream"}},
			`data: {"type":"response.failed","response":{"error":{"code":"`+code+`"},"usage":null}}`+"\n\n")))
		w := openResponsesEndpoint(t, upstream)
		w.postResponses(input(helloItem))
		s := closeAndSummarize(t, w)
		require.Equal(t, status, s.LastStatus)
		require.True(t, s.LastCallFailed())
	}
}

func TestResponsesAPIProviderSideAccessIsDenied(t *testing.T) {
	block := func(b string) string { return `{"type":"message","role":"user","content":[` + b + `]}` }
	for name, c := range map[string]struct{ body, message string }{
		"web search":            {input(helloItem, `,"tools":[{"type":"web_search"}]`), `"web_search" runs at the provider`},
		"in a namespace":        {input(helloItem, `,"tools":[{"type":"namespace","tools":[{"type":"web_search"}]}]`), "runs at the provider"},
		"an MCP server":         {input(helloItem, `,"tools":[{"type":"mcp","server_url":"https://x"}]`), "runs at the provider"},
		"code at the provider":  {input(helloItem, `,"tools":[{"type":"code_interpreter"}]`), "runs at the provider"},
		"a hosted shell":        {input(helloItem, `,"tools":[{"type":"shell"}]`), "runs at the provider"},
		"a tool without a type": {input(helloItem, `,"tools":[{"name":"x"}]`), "runs at the provider"},
		"an earlier response":   {input(helloItem, `,"previous_response_id":"r"`), `"previous_response_id" is not allowed`},
		"a conversation":        {input(helloItem, `,"conversation":"c"`), "is not allowed"},
		"a stored prompt":       {input(helloItem, `,"prompt":{"id":"p"}`), "is not allowed"},
		"in the background":     {input(helloItem, `,"background":true`), "is not allowed"},
		"a faster price":        {input(helloItem, `,"service_tier":"priority"`), "is not allowed"},
		"an image by URL":       {input(block(`{"type":"input_image","image_url":"https://evil.example/x"}`)), "sources by URL"},
		"an image by file":      {input(block(`{"type":"input_image","file_id":"f"}`)), "files of the provider"},
		"a file by URL":         {input(block(`{"type":"input_file","file_url":"https://evil.example/x"}`)), "sources by URL"},
		"in a tool's output":    {input(`{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"https://x"}]}`), "sources by URL"},
		"an item reference":     {input(`{"type":"item_reference","id":"msg_2"}`), "stored at the provider"},
		"a reference by ID":     {input(`{"id":"msg_2"}`), "stored at the provider"},
		"a reference with a role": {
			input(`{"type":"item_reference","role":"user","id":"msg_2"}`), "stored at the provider",
		},
		"an unknown model":   {strings.Replace(input(helloItem), gpt, "gpt-9", 1), `the model "gpt-9" is not allowed`},
		"a Messages request": {requestBody(nil), "is not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(responsesAnswer(used120)))
			w := openResponsesEndpoint(t, upstream)
			w.requireDenied(w.postResponses(c.body), c.message)
		})
	}
}

func TestResponsesAPIAgentRequestsAreAllowed(t *testing.T) {
	for name, body := range map[string]string{
		"text":                  fmt.Sprintf(`{"model":%q,"input":"hello","max_output_tokens":null}`, gpt),
		"an image inline":       input(`{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA","file_id2":null}]}`),
		"a call and its output": input(helloItem + `,{"type":"function_call","id":"fc_1","call_id":"c","name":"exec","arguments":"{\"file_id\":1}"},{"type":"function_call_output","call_id":"c","output":"x"}`),
		"reasoning":             input(`{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}`),
		"tools of the agent":    input(helloItem, `,"tools":[{"type":"function","name":"exec","parameters":{"properties":{"file_url":{"type":"string"}}}},{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]}]`),
		"a token limit":         input(helloItem, `,"max_output_tokens":100`),
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(responsesAnswer(used120)))
			require.Equal(t, http.StatusOK, openResponsesEndpoint(t, upstream).postResponses(body).status)
			require.Len(t, upstream.Requests(), 1)
		})
	}
}
