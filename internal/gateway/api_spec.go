package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// API names the HTTP API of an upstream.
type API string

// The APIs.
const (
	MessagesAPI  API = "messages"  // Anthropic's
	ResponsesAPI API = "responses" // OpenAI's
)

// apiSpec is what the gateway knows about one API. Its lists name what is allowed. The gateway denies everything
// else, so that a new feature of the API is inspected before it is used.
type apiSpec struct {
	provider string // OpenTelemetry's name of who has made the API
	// parameters are the allowed top-level fields of a request.
	parameters []string
	// maxTokensField is the parameter that limits the output tokens. contentFields are the parameters that can contain
	// sources, at any depth.
	maxTokensField string
	// defaultMaxTokens is the most that a response may have without that parameter. 0: the provider requires the
	// parameter.
	defaultMaxTokens int64
	contentFields    []string
	// isClientTool reports whether tools of this kind run in the sandbox. Other tools run at the provider, with its
	// network.
	isClientTool func(kind string) bool
	// setAuth sets the operator's key and the other headers that the API requires.
	setAuth func(to, from http.Header, key string)
}

var apiSpecs = map[API]apiSpec{
	MessagesAPI: {
		provider: "anthropic",
		// Not in the list on purpose: mcp_servers, container and fallbacks, which access other servers or name other
		// models; speed, service_tier and inference_geo, which change the price.
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
		provider: "openai",
		// Not in the list on purpose: previous_response_id, conversation and prompt, which refer to data stored at the
		// provider; background, which continues after the call; service_tier, which changes the price.
		parameters: []string{
			"model", "input", "instructions", "max_output_tokens", "stream", "stream_options", "tools", "tool_choice",
			"parallel_tool_calls", "reasoning", "store", "include", "text", "truncation", "temperature", "top_p",
			"prompt_cache_key", "safety_identifier", "user", "metadata", "client_metadata",
		},
		maxTokensField: "max_output_tokens",
		// The largest limit of the models on https://platform.openai.com/docs/models.
		defaultMaxTokens: 128_000,
		contentFields:    []string{"input", "instructions"},
		isClientTool:     func(kind string) bool { return slices.Contains(responsesClientTools, kind) },
		setAuth:          func(to, _ http.Header, key string) { to.Set("Authorization", "Bearer "+key) },
	},
}

// Kinds of tools that run in the sandbox: prefixes of kinds for the Messages API, whole kinds for the Responses API. A
// namespace contains other tools.
var (
	messagesClientTools  = []string{"bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"}
	responsesClientTools = []string{"function", "custom", "local_shell", "apply_patch", "namespace"}
)
