package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// API is the language that an upstream speaks.
type API string

// The APIs that the gateway understands.
const (
	MessagesAPI  API = "messages"  // Anthropic's
	ResponsesAPI API = "responses" // OpenAI's
)

// dialect is what the gateway has to know of one API. Lists say what may pass;
// what is not on them is refused until somebody has looked at it.
type apiSpec struct {
	// parameters are the fields that a request may have.
	parameters []string
	// maxTokens is the one that bounds the answer; content are those that may
	// hold sources, at any depth.
	maxTokensField string
	contentFields  []string
	// client says of a kind of tool whether it runs where the agent is. All
	// others run at the provider, with its network.
	isClientTool func(kind string) bool
	// authorize puts in the operator's key, and what else the API wants of headers.
	setAuth func(to, from http.Header, key string)
}

var apiSpecs = map[API]apiSpec{
	MessagesAPI: {
		// Left out on purpose: mcp_servers, container and fallbacks, which reach out
		// or name other models; speed, service_tier and inference_geo, which change the price.
		parameters: []string{
			"model", "messages", "system", "max_tokens", "stream", "tools", "tool_choice", "metadata",
			"stop_sequences", "temperature", "top_k", "top_p", "thinking",
			"cache_control", "context_management", "output_config", "output_format",
		},
		maxTokensField: "max_tokens",
		contentFields:  []string{"messages", "system"},
		isClientTool: func(kind string) bool {
			return kind == "" || kind == "custom" ||
				slices.ContainsFunc(messagesClientTools, func(prefix string) bool { return strings.HasPrefix(kind, prefix) })
		},
		setAuth: func(to, from http.Header, key string) {
			version := from.Get("Anthropic-Version")
			if !apiVersion.MatchString(version) {
				version = defaultVersion
			}
			to.Set("Anthropic-Version", version)
			to.Set("X-Api-Key", key)
		},
	},
	ResponsesAPI: {
		// Left out on purpose: previous_response_id, conversation and prompt, which
		// bring in what is kept at the provider; background, which goes on after the
		// call; service_tier, which changes the price.
		parameters: []string{
			"model", "input", "instructions", "max_output_tokens", "stream", "stream_options", "tools", "tool_choice",
			"parallel_tool_calls", "reasoning", "store", "include", "text", "truncation", "temperature", "top_p",
			"prompt_cache_key", "safety_identifier", "user", "metadata", "client_metadata",
		},
		maxTokensField: "max_output_tokens",
		contentFields:  []string{"input", "instructions"},
		isClientTool:   func(kind string) bool { return slices.Contains(responsesClientTools, kind) },
		setAuth:        func(to, _ http.Header, key string) { to.Set("Authorization", "Bearer "+key) },
	},
}

// Kinds of tools that run where the agent is: beginnings of names, and names.
// A namespace holds other tools.
var (
	messagesClientTools  = []string{"bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"}
	responsesClientTools = []string{"function", "custom", "local_shell", "apply_patch", "namespace"}
)
