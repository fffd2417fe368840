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
func (c Executor) runtimes(log *zap.Logger) (*agentruntime.Registry, func(), error) {
	found, err := c.catalog()
	if err != nil {
		return nil, nil, err
	}
	open := map[upstream]*gateway.Gateway{}
	closeAll := func() {
		for _, gw := range open {
			gw.Close()
		}
	}
	var runtimes []agentruntime.Runtime
	for _, entry := range found.Runtimes {
		to, err := c.upstream(entry.Egress)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("runtime %s: %w", entry.Name, err)
		}
		if open[to] == nil && to.key != "" {
			if open[to], err = c.gateway(to, log); err != nil {
				closeAll()
				return nil, nil, fmt.Errorf("runtime %s: %w", entry.Name, err)
			}
		}
		runtimes = append(runtimes, agentruntime.From(entry, open[to]))
	}
	return agentruntime.New(runtimes...), closeAll, nil
}

// upstream is one model's API with one key; without a key it is not used.
type upstream struct {
	api      gateway.API
	url      string
	key      string
	ca       string
	private  bool
	operated bool // by the ANTHROPIC_... variables, so that CLAUDE_MODELS is about it
}

func (c Executor) upstream(e *catalog.Egress) (upstream, error) {
	switch {
	case e == nil:
		return upstream{}, nil
	case e.Upstream != nil:
		u := e.Upstream
		return upstream{api: gateway.API(e.API), url: u.URL, key: os.Getenv(u.KeyEnv), ca: u.CAFile, private: u.AllowPrivate}, nil
	case c.AnthropicKey != "" && c.AnthropicURL == nil:
		return upstream{}, errors.New("ANTHROPIC_BASE_URL is not set")
	case c.AnthropicKey != "":
		return upstream{
			api: gateway.API(e.API), url: c.AnthropicURL.String(), key: c.AnthropicKey,
			ca: c.AnthropicCA, private: c.AnthropicPrivate, operated: true,
		}, nil
	default:
		return upstream{}, nil
	}
}

func (c Executor) gateway(to upstream, log *zap.Logger) (*gateway.Gateway, error) {
	address, err := url.Parse(to.url)
	if err != nil {
		return nil, err
	}
	authorities, err := authorities(to.ca)
	if err != nil {
		return nil, err
	}
	settings := gateway.Settings{
		API: to.api, Upstream: address, APIKey: to.key, AllowPrivateUpstream: to.private, RootCAs: authorities,
		Budget: gateway.Budget{Tokens: c.MaxTokens, CostUSD: c.MaxCostUSD},
		Logger: log.Named("gateway"),
	}
	if to.operated {
		settings.Models = c.ClaudeModels
	}
	return gateway.New(settings)
}

// authorities are the system's and those of a file; nil: the system's alone.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities: %s holds no certificate in PEM", file)
	}
	return pool, nil
}
