package app

import (
	"crypto/x509"
	"fmt"
	"os"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/runtime"
	"github.com/airlock-run/airlock/internal/runtime/catalog"
)

// catalog is what runtimes there are for this executor.
func (c Executor) catalog() (catalog.Catalog, error) {
	found, err := catalog.Load(c.RuntimesFile)
	if err != nil || c.RuntimesFile != "" {
		return found, err
	}
	for i := range found.Runtimes {
		switch r := &found.Runtimes[i]; r.Name {
		case "offline":
			r.Image = c.OfflineImage
		case "claude":
			r.Image = c.ClaudeImage
			if len(c.ClaudeModels) > 0 {
				r.Models = c.ClaudeModels
			}
		}
	}
	return found, nil
}

// runtimes makes the registry, and the gateway of the runtimes that need one.
func (c Executor) runtimes(log *zap.Logger) (*runtime.Registry, func(), error) {
	found, err := c.catalog()
	if err != nil {
		return nil, nil, err
	}
	var gw *gateway.Gateway
	closeGateway := func() {}
	if c.AnthropicKey != "" {
		if gw, err = c.gateway(log); err != nil {
			return nil, nil, err
		}
		closeGateway = gw.Close
	}
	var runtimes []runtime.Runtime
	for _, entry := range found.Runtimes {
		runtimes = append(runtimes, runtime.From(entry, gw))
	}
	return runtime.New(runtimes...), closeGateway, nil
}

func (c Executor) gateway(log *zap.Logger) (*gateway.Gateway, error) {
	authorities, err := c.authorities()
	if err != nil {
		return nil, err
	}
	return gateway.New(gateway.Settings{
		Upstream: c.AnthropicURL, APIKey: c.AnthropicKey, Models: c.ClaudeModels,
		AllowPrivateUpstream: c.AnthropicPrivate, RootCAs: authorities,
		Budget: gateway.Budget{Tokens: c.MaxTokens, CostUSD: c.MaxCostUSD},
		Logger: log.Named("gateway"),
	})
}

// authorities are the system's and those of AnthropicCA; nil: the system's alone.
func (c Executor) authorities() (*x509.CertPool, error) {
	if c.AnthropicCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.AnthropicCA)
	if err != nil {
		return nil, fmt.Errorf("ANTHROPIC_CA_FILE: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ANTHROPIC_CA_FILE: %s holds no certificate in PEM", c.AnthropicCA)
	}
	return pool, nil
}

// receiptKey signs what this executor writes of its jobs; nil: nothing does.
func (c Executor) receiptKey() (*receipt.Key, error) {
	if c.ReceiptKeyFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.ReceiptKeyFile)
	if err != nil {
		return nil, fmt.Errorf("RECEIPT_KEY_FILE: %w", err)
	}
	key, err := receipt.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("RECEIPT_KEY_FILE: %s: %w", c.ReceiptKeyFile, err)
	}
	return key, nil
}
