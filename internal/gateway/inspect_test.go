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

// message is a request whose one message has these blocks.
func message(blocks string) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":10,"messages":[{"role":"user","content":[%s]}]}`, model, blocks)
}

func with(field string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[],%s}`, model, field)
}

func TestWhatReachesOutAtTheProviderIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ body, message string }{
		"web search":         {with(`"tools":[{"type":"web_search_20250305","name":"web_search"}]`), `"web_search_20250305" runs at the provider`},
		"web fetch":          {with(`"tools":[{"name":"web_fetch","type":"web_fetch_20250910"}]`), "runs at the provider"},
		"code execution":     {with(`"tools":[{"name":"x","type":"code_execution_20250825"}]`), "runs at the provider"},
		"an MCP tool set":    {with(`"tools":[{"name":"x","type":"mcp_toolset"}]`), "runs at the provider"},
		"a later tool":       {with(`"tools":[{"name":"a"},{"name":"b","type":"custom"},{"name":"x","type":"from_the_future"}]`), "runs at the provider"},
		"MCP servers":        {with(`"mcp_servers":[{"type":"url","url":"https://example.com"}]`), `"mcp_servers" is not allowed`},
		"a container":        {with(`"container":"c_1"`), `"container" is not allowed`},
		"another model":      {with(`"fallbacks":[{"model":"claude-opus-4-1"}]`), `"fallbacks" is not allowed`},
		"a faster price":     {with(`"speed":"fast"`), `"speed" is not allowed`},
		"an unknown field":   {with(`"from_the_future":1`), "is not allowed"},
		"other case":         {with(`"MCP_servers":[]`), "is not allowed"},
		"an image by URL":    {message(`{"type":"image","source":{"type":"url","url":"https://example.com/x"}}`), "sources by URL"},
		"type after URL":     {message(`{"source":{"url":"https://example.com/x","type":"base64"},"type":"image"}`), "sources by URL"},
		"a file":             {message(`{"type":"document","source":{"type":"file","file_id":"f"}}`), "sources by URL or file"},
		"an unknown source":  {message(`{"type":"document","source":{"type":"s3"}}`), `sources of type "s3"`},
		"a nameless source":  {message(`{"type":"document","source":{}}`), `sources of type ""`},
		"in a tool's result": {message(`{"type":"tool_result","content":[{"type":"image","source":{"type":"url"}}]}`), `sources of type "url"`},
		"in a document":      {message(`{"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"url"}}]}}`), `sources of type "url"`},
		"an upload":          {message(`{"type":"container_upload","file_id":"f"}`), "files of the provider"},
		"in the system":      {with(`"system":[{"type":"image","source":{"type":"url"}}]`), `sources of type "url"`},
		"a foreign model":    {`{"model":"gpt-9","messages":[]}`, `the model "gpt-9" is not allowed`},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := start(t, modelstub.Always(modelstub.Text("hi")))
			w := open(t, upstream, nil)
			got := w.post(c.body)
			require.Equal(t, http.StatusForbidden, got.status)
			requireDenied(t, upstream, w, got, c.message)
		})
	}
}

func TestBodiesThatTwoReadersCouldReadDifferentlyAreRefused(t *testing.T) {
	for name, body := range map[string]string{
		"a model twice":       fmt.Sprintf(`{"model":%q,"model":"claude-opus-4-1","messages":[]}`, model),
		"a tool's type twice": with(`"tools":[{"type":"custom","type":"web_search_20250305"}]`),
		"a key escaped twice": fmt.Sprintf(`{"model":%q,"mode\u006c":"x","messages":[]}`, model),
		"two values":          ask(nil) + ask(nil),
		"not UTF-8":           with("\"system\":\"\xff\""),
		"not JSON":            "hello",
		"a list":              "[]",
		"a comment":           with(`"system":"x"/**/`),
		"cut":                 ask(nil)[:40],
		"the model a number":  `{"model":1}`,
		"tools not a list":    with(`"tools":{"type":"web_search"}`),
		"tool kind a list":    with(`"tools":[{"type":["web_search"]}]`),
		"max_tokens negative": with(`"max_tokens":-1`),
		"max_tokens a string": with(`"max_tokens":"many"`),
		"too deep":            with(`"system":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000)),
		"too many parts":      with(`"system":[` + strings.Repeat("1,", 1<<19) + "1]"),
		"no model":            `{"messages":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			upstream := start(t, modelstub.Always(modelstub.Text("hi")))
			w := open(t, upstream, nil)
			got := w.post(body)
			require.Equal(t, http.StatusBadRequest, got.status)
			requireDenied(t, upstream, w, got, "")
		})
	}
}

func TestWhatAgentsNeedPasses(t *testing.T) {
	for name, body := range map[string]string{
		"an image inline":     message(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}`),
		"a document":          message(`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"}}`),
		"a search result":     message(`{"type":"search_result","source":"https://example.com","title":"x","content":[{"type":"text","text":"x"}]}`),
		"a tool's own source": message(`{"type":"tool_use","id":"x","name":"x","input":{"source":{"type":"url","url":"x"},"file_id":"x"}}`),
		"tools of the agent":  with(`"tools":[{"name":"Bash","input_schema":{"properties":{"source":{"type":"url"}}}},{"type":"bash_20250124","name":"bash"},{"type":null,"name":"x"}]`),
		"thinking":            with(`"thinking":{"type":"adaptive"},"output_config":{"effort":"high"},"metadata":{"user_id":"x"}`),
	} {
		t.Run(name, func(t *testing.T) {
			upstream := start(t, modelstub.Always(modelstub.Text("hi")))
			w := open(t, upstream, nil)
			require.Equal(t, http.StatusOK, w.post(body).status)
			require.Len(t, upstream.Requests(), 1)
		})
	}
}

func TestOnlyModelsOfBothTheOperatorAndTheRuntimePass(t *testing.T) {
	upstream := start(t, modelstub.Always(modelstub.Text("hi")))
	w := open(t, upstream, func(s *gateway.Settings) { s.Models = []string{"claude-of-tomorrow", "claude-opus-4-1"} })
	for asked, status := range map[string]int{
		"claude-of-tomorrow": http.StatusOK, model: http.StatusForbidden, "claude-opus-4-1": http.StatusForbidden,
	} {
		require.Equal(t, status, w.post(ask(map[string]any{"model": asked})).status, asked)
	}
}
