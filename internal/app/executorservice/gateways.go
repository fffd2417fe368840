package executorservice

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/netguard"
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
	hosts := forward.New(forward.Config{
		Guard: netguard.Guard{Allow: s.EgressPrivateNetworks}, Resolver: newResolver(s.EgressNameServer), Ceiling: s.EgressHosts,
		Reserved: upstreamHosts(s), MaxBytes: s.EgressMaxMiB << 20, Log: log.Named("egress"),
	})
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
		r := agentruntime.FromCatalog(entry, gateways[up])
		r.Forward = hosts
		runtimes = append(runtimes, r)
	}
	return agentruntime.NewRegistry(runtimes...), closeAll, nil
}

// newResolver returns a resolver for the hosts of environments; nil: that of this machine.
func newResolver(nameServer string) *net.Resolver {
	if nameServer == "" {
		return nil
	}
	return forward.NewResolver(nameServer)
}

// upstreamHosts returns the hosts of all models, which jobs reach only through the gateway that counts their calls.
func upstreamHosts(s Settings) []string {
	var hosts []string
	for _, entry := range s.runtimes.Runtimes {
		if u, err := url.Parse(resolveUpstream(s, entry.Egress).url); err == nil && u.Hostname() != "" {
			hosts = append(hosts, strings.ToLower(u.Hostname()))
		}
	}
	if s.AnthropicBaseURL != nil {
		hosts = append(hosts, strings.ToLower(s.AnthropicBaseURL.Hostname()))
	}
	return hosts
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
