package executorservice

import (
	"crypto/x509"
	"fmt"
	"net/url"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/gateway"
)

// newRegistry returns the runtimes, with one gateway for each upstream that has an API key, and a function that closes
// the gateways.
func newRegistry(s Settings, log *zap.Logger) (*agentruntime.Registry, func(), error) {
	gateways := map[upstream]*gateway.Gateway{}
	closeAll := func() {
		for _, gw := range gateways {
			gw.Close()
		}
	}
	var runtimes []agentruntime.Runtime
	for _, entry := range s.runtimes.Runtimes {
		up := resolveUpstream(s, entry.Egress)
		if gateways[up] == nil && up.apiKey != "" {
			gw, err := newGateway(s, up, log)
			if err != nil {
				closeAll()
				return nil, nil, fmt.Errorf("runtime %s: %w", entry.Name, err)
			}
			gateways[up] = gw
		}
		runtimes = append(runtimes, agentruntime.FromCatalog(entry, gateways[up]))
	}
	return agentruntime.NewRegistry(runtimes...), closeAll, nil
}

// upstream is a model's API with one key. Without a key it is not used.
type upstream struct {
	api          gateway.API
	url          string
	apiKey       string
	caFile       string         // of a runtimes file
	rootCAs      *x509.CertPool // of AIRLOCK_ANTHROPIC_CA_FILE; nil: the system's
	allowPrivate bool
	isAnthropic  bool // set by the ANTHROPIC_... variables: AIRLOCK_CLAUDE_MODELS applies
}

func resolveUpstream(s Settings, egress *catalog.Egress) upstream {
	switch {
	case egress == nil:
		return upstream{}
	case egress.Upstream != nil:
		u := egress.Upstream
		return upstream{api: gateway.API(egress.API), url: u.URL, apiKey: s.upstreamKeys[u.KeyEnv], caFile: u.CAFile, allowPrivate: u.AllowPrivate}
	case s.AnthropicAPIKey != "":
		return upstream{
			api: gateway.API(egress.API), url: s.AnthropicBaseURL.String(), apiKey: s.AnthropicAPIKey,
			rootCAs: s.anthropicCAs, allowPrivate: s.AnthropicAllowPrivate, isAnthropic: true,
		}
	default:
		return upstream{}
	}
}

func newGateway(s Settings, up upstream, log *zap.Logger) (*gateway.Gateway, error) {
	baseURL, err := url.Parse(up.url)
	if err != nil {
		return nil, err
	}
	rootCAs := up.rootCAs
	if up.caFile != "" {
		if rootCAs, err = loadCertPool(up.caFile); err != nil {
			return nil, err
		}
	}
	settings := gateway.Config{
		API: up.api, Upstream: baseURL, APIKey: up.apiKey, AllowPrivateUpstream: up.allowPrivate, RootCAs: rootCAs,
		Budget:  gateway.Budget{Tokens: s.MaxTokens, CostUSD: s.MaxCostUSD},
		MaxWait: s.ModelMaxWait,
		Log:     log.Named("gateway"),
	}
	if up.isAnthropic {
		settings.Models = s.ClaudeModels
	}
	return gateway.New(settings)
}
