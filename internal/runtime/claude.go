package runtime

import (
	"net/http"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// ClaudeImage is the image that scripts/images.sh builds.
const ClaudeImage = "airlock/sandbox-claude:dev"

// maxTurns bounds the requests of one job, so that an agent that runs in
// circles ends before its time-out.
const maxTurns = 50

// claudeTools are those that have a use in a sandbox. The others need a network,
// a later time or another session; without them a request has 54 KB instead of 115.
const claudeTools = "Bash,Edit,Read,Write,Task"

// claudeModels may be used when the operator names none. The first is the default.
var claudeModels = []string{
	"claude-sonnet-4-6", "claude-sonnet-4-5", "claude-sonnet-5",
	"claude-opus-4-8", "claude-opus-4-7", "claude-opus-4-6", "claude-opus-4-5", "claude-opus-4-1",
	"claude-haiku-4-5",
}

// claudeRoutes are all requests that Claude Code 2.1.197 was seen to make.
var claudeRoutes = []gateway.Route{
	{Method: http.MethodPost, Target: "/v1/messages?beta=true"},
	{Method: http.MethodPost, Target: "/v1/messages"},
	{Method: http.MethodPost, Target: "/v1/messages/count_tokens?beta=true"},
	{Method: http.MethodPost, Target: "/v1/messages/count_tokens"},
	{Method: http.MethodHead, Target: "/", Local: true}, // asks only whether somebody is there
}

// claudeBetas are those of the beta features that the CLI may ask for which
// neither reach out at the provider's side nor change a price.
var claudeBetas = []string{
	"advanced-tool-use-2025-11-20",
	"claude-code-20250219",
	"context-hint-2026-04-09",
	"context-management-2025-06-27",
	"effort-2025-11-24",
	"extended-cache-ttl-2025-04-11",
	"fine-grained-tool-streaming-2025-05-14",
	"interleaved-thinking-2025-05-14",
	"mid-conversation-system-2026-04-07",
	"prompt-caching-scope-2026-01-05",
	"redact-thinking-2026-02-12",
	"structured-outputs-2025-11-13",
	"structured-outputs-2025-12-15",
	"thinking-token-count-2026-05-13",
	"token-counting-2024-11-01",
	"tool-search-tool-2025-10-19",
}

// Claude is the runtime of the Claude Code CLI. Without a gateway, which
// there is only where the operator has an API key, it is not available.
func Claude(image string, gw *gateway.Gateway) Runtime {
	r := Runtime{
		Name:     "claude",
		Image:    image,
		Program:  "/usr/local/bin/claude",
		Models:   claudeModels,
		MaxTurns: maxTurns,
		Limits:   sandbox.DefaultLimits,
		Flags:    []string{"--tools=" + claudeTools},
		// Whatever part of the CLI asks, and whatever size of model it would
		// choose, it asks the task's model, which is all that the gateway lets through.
		ModelEnv: []string{
			"CLAUDE_CODE_SUBAGENT_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL",
		},
		Env: []string{
			"ANTHROPIC_BASE_URL=" + sandbox.EgressURL,
			"ANTHROPIC_API_KEY=held-by-the-gateway",
			// Without it the CLI calls other hosts, and waits for them.
			"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
			// The default of 11 takes almost three minutes to give up.
			"CLAUDE_CODE_MAX_RETRIES=2",
			"DISABLE_AUTOUPDATER=1",
		},
	}
	if gw == nil {
		r.Unavailable = "the operator has to set ANTHROPIC_API_KEY"
		return r
	}
	if models := gw.Models(); len(models) > 0 {
		r.Models = models
	}
	r.Egress = func(execution, model string) Egress {
		return gw.Session(execution, gateway.Policy{Routes: claudeRoutes, Models: []string{model}, Betas: claudeBetas})
	}
	return r
}
