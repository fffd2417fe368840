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

// messageBody returns a request whose only message has these blocks.
func messageBody(blocks string) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":10,"messages":[{"role":"user","content":[%s]}]}`, model, blocks)
}

func bodyWithField(field string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[],%s}`, model, field)
}

func TestProviderSideAccessIsDenied(t *testing.T) {
	for name, c := range map[string]struct{ body, message string }{
		"web search":           {bodyWithField(`"tools":[{"type":"web_search_20250305","name":"web_search"}]`), `"web_search_20250305" runs at the provider`},
		"web fetch":            {bodyWithField(`"tools":[{"name":"web_fetch","type":"web_fetch_20250910"}]`), "runs at the provider"},
		"code execution":       {bodyWithField(`"tools":[{"name":"x","type":"code_execution_20250825"}]`), "runs at the provider"},
		"an MCP tool set":      {bodyWithField(`"tools":[{"name":"x","type":"mcp_toolset"}]`), "runs at the provider"},
		"a later tool":         {bodyWithField(`"tools":[{"name":"a"},{"name":"b","type":"custom"},{"name":"x","type":"from_the_future"}]`), "runs at the provider"},
		"MCP servers":          {bodyWithField(`"mcp_servers":[{"type":"url","url":"https://example.com"}]`), `"mcp_servers" is not allowed`},
		"a container":          {bodyWithField(`"container":"c_1"`), `"container" is not allowed`},
		"another model":        {bodyWithField(`"fallbacks":[{"model":"claude-opus-4-1"}]`), `"fallbacks" is not allowed`},
		"a faster price":       {bodyWithField(`"speed":"fast"`), `"speed" is not allowed`},
		"an unknown field":     {bodyWithField(`"from_the_future":1`), "is not allowed"},
		"other case":           {bodyWithField(`"MCP_servers":[]`), "is not allowed"},
		"an image by URL":      {messageBody(`{"type":"image","source":{"type":"url","url":"https://example.com/x"}}`), "sources by URL"},
		"type after URL":       {messageBody(`{"source":{"url":"https://example.com/x","type":"base64"},"type":"image"}`), "sources by URL"},
		"a file":               {messageBody(`{"type":"document","source":{"type":"file","file_id":"f"}}`), "sources by URL or file"},
		"an unknown source":    {messageBody(`{"type":"document","source":{"type":"s3"}}`), `sources of type "s3"`},
		"a nameless source":    {messageBody(`{"type":"document","source":{}}`), `sources of type ""`},
		"in a tool's result":   {messageBody(`{"type":"tool_result","content":[{"type":"image","source":{"type":"url"}}]}`), `sources of type "url"`},
		"in a document":        {messageBody(`{"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"url"}}]}}`), `sources of type "url"`},
		"an upload":            {messageBody(`{"type":"container_upload","file_id":"f"}`), "files of the provider"},
		"in the system prompt": {bodyWithField(`"system":[{"type":"image","source":{"type":"url"}}]`), `sources of type "url"`},
		"an unknown model":     {`{"model":"gpt-9","messages":[]}`, `the model "gpt-9" is not allowed`},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
			w := openEndpoint(t, upstream, nil)
			got := w.post(c.body)
			require.Equal(t, http.StatusForbidden, got.status)
			w.requireDenied(got, c.message)
		})
	}
}

func TestAmbiguousJSONIsDenied(t *testing.T) {
	for name, body := range map[string]string{
		"a model twice":       fmt.Sprintf(`{"model":%q,"model":"claude-opus-4-1","messages":[]}`, model),
		"a tool's type twice": bodyWithField(`"tools":[{"type":"custom","type":"web_search_20250305"}]`),
		"a key escaped twice": fmt.Sprintf(`{"model":%q,"mode\u006c":"x","messages":[]}`, model),
		"two values":          requestBody(nil) + requestBody(nil),
		"not UTF-8":           bodyWithField("\"system\":\"\xff\""),
		"not JSON":            "hello",
		"a list":              "[]",
		"a comment":           bodyWithField(`"system":"x"/**/`),
		"truncated":           requestBody(nil)[:40],
		"the model a number":  `{"model":1}`,
		"tools not a list":    bodyWithField(`"tools":{"type":"web_search"}`),
		"tool kind a list":    bodyWithField(`"tools":[{"type":["web_search"]}]`),
		"max_tokens negative": bodyWithField(`"max_tokens":-1`),
		"max_tokens a string": bodyWithField(`"max_tokens":"many"`),
		"too deep":            bodyWithField(`"system":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000)),
		"too many tokens":     bodyWithField(`"system":[` + strings.Repeat("1,", 1<<19) + "1]"),
		"no model":            `{"messages":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
			w := openEndpoint(t, upstream, nil)
			got := w.post(body)
			require.Equal(t, http.StatusBadRequest, got.status)
			w.requireDenied(got, "")
		})
	}
}

func TestAgentRequestsAreAllowed(t *testing.T) {
	for name, body := range map[string]string{
		"an image inline":     messageBody(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}`),
		"a document":          messageBody(`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"}}`),
		"a search result":     messageBody(`{"type":"search_result","source":"https://example.com","title":"x","content":[{"type":"text","text":"x"}]}`),
		"a tool's own source": messageBody(`{"type":"tool_use","id":"x","name":"x","input":{"source":{"type":"url","url":"x"},"file_id":"x"}}`),
		"tools of the agent":  bodyWithField(`"tools":[{"name":"Bash","input_schema":{"properties":{"source":{"type":"url"}}}},{"type":"bash_20250124","name":"bash"},{"type":null,"name":"x"}]`),
		"thinking":            bodyWithField(`"thinking":{"type":"adaptive"},"output_config":{"effort":"high"},"metadata":{"user_id":"x"}`),
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
			w := openEndpoint(t, upstream, nil)
			require.Equal(t, http.StatusOK, w.post(body).status)
			require.Len(t, upstream.Requests(), 1)
		})
	}
}

func TestModelMustBeAllowedByOperatorAndRuntime(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, func(s *gateway.Config) { s.Models = []string{"claude-of-tomorrow", "claude-opus-4-1"} })
	for requested, status := range map[string]int{
		"claude-of-tomorrow": http.StatusOK, model: http.StatusForbidden, "claude-opus-4-1": http.StatusForbidden,
	} {
		require.Equal(t, status, w.post(requestBody(map[string]any{"model": requested})).status, requested)
	}
}
