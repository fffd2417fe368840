package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/gateway"
)

// runtimes makes the registry, and a gateway for each upstream whose key is there.
func (c Executor) newRegistry(log *zap.Logger) (*agentruntime.Registry, func(), error) {
	cat, err := c.loadCatalog()
	if err != nil {
		return nil, nil, err
	}
	gateways := map[upstream]*gateway.Gateway{}
	closeAll := func() {
		for _, gw := range gateways {
			gw.Close()
		}
	}
	var runtimes []agentruntime.Runtime
	for _, entry := range cat.Runtimes {
		up, err := c.resolveUpstream(entry.Egress)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("runtime %s: %w", entry.Name, err)
		}
		if gateways[up] == nil && up.apiKey != "" {
			if gateways[up], err = c.newGateway(up, log); err != nil {
				closeAll()
				return nil, nil, fmt.Errorf("runtime %s: %w", entry.Name, err)
			}
		}
		runtimes = append(runtimes, agentruntime.FromCatalog(entry, gateways[up]))
	}
	return agentruntime.NewRegistry(runtimes...), closeAll, nil
}

// upstream is one model's API with one key; without a key it is not used.
type upstream struct {
	api             gateway.API
	url             string
	apiKey          string
	caFile          string
	allowPrivate    bool
	fromEnvironment bool // by the ANTHROPIC_... variables, so that AIRLOCK_CLAUDE_MODELS is about it
}

func (c Executor) resolveUpstream(egress *catalog.Egress) (upstream, error) {
	switch {
	case egress == nil:
		return upstream{}, nil
	case egress.Upstream != nil:
		u := egress.Upstream
		return upstream{api: gateway.API(egress.API), url: u.URL, apiKey: os.Getenv(u.KeyEnv), caFile: u.CAFile, allowPrivate: u.AllowPrivate}, nil
	case c.AnthropicAPIKey != "" && c.AnthropicBaseURL == nil:
		return upstream{}, errors.New("ANTHROPIC_BASE_URL is not set")
	case c.AnthropicAPIKey != "":
		return upstream{
			api: gateway.API(egress.API), url: c.AnthropicBaseURL.String(), apiKey: c.AnthropicAPIKey,
			caFile: c.AnthropicCAFile, allowPrivate: c.AnthropicAllowPrivate, fromEnvironment: true,
		}, nil
	default:
		return upstream{}, nil
	}
}

func (c Executor) newGateway(up upstream, log *zap.Logger) (*gateway.Gateway, error) {
	baseURL, err := url.Parse(up.url)
	if err != nil {
		return nil, err
	}
	certPool, err := loadCertPool(up.caFile)
	if err != nil {
		return nil, err
	}
	settings := gateway.Settings{
		API: up.api, Upstream: baseURL, APIKey: up.apiKey, AllowPrivateUpstream: up.allowPrivate, RootCAs: certPool,
		Budget: gateway.Budget{Tokens: c.MaxTokens, CostUSD: c.MaxCostUSD},
		Logger: log.Named("gateway"),
	}
	if up.fromEnvironment {
		settings.Models = c.ClaudeModels
	}
	return gateway.New(settings)
}

// authorities are the system's and those of a file; nil: the system's alone.
func loadCertPool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("certificate authorities: %s holds no certificate in PEM", file)
	}
	return pool, nil
}
