package executorservice

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/receipt"
)

// Settings are an executor's configuration and the content of the files that it names, each read once.
type Settings struct {
	config.Executor
	// UnknownVariables begin with AIRLOCK_, and no program reads them.
	UnknownVariables []string

	runtimes     catalog.Catalog
	upstreamKeys map[string]string // by the keyEnv of upstreams; empty: not set
	receiptKey   *receipt.Key      // nil: receipts are not signed
	anthropicCAs *x509.CertPool    // nil: the system's
}

// Load reads the settings from the environment. It reports everything that is wrong with them at once.
func Load() (Settings, error) {
	c, parseErr := config.LoadExecutor()
	runtimes, runtimesErr := catalog.Load(c.RuntimesFile)
	unknown, namesErr := config.CheckNames(os.Environ(), runtimes.KeyVariables()...)
	if runtimesErr != nil {
		runtimesErr = fmt.Errorf("AIRLOCK_RUNTIMES_FILE: %w", runtimesErr)
	}
	s, err := Prepare(c, runtimes)
	s.UnknownVariables = unknown
	return s, errors.Join(parseErr, namesErr, runtimesErr, err)
}

// Prepare checks a configuration and reads the files that it names, besides the runtimes, which the caller has read.
func Prepare(c config.Executor, runtimes catalog.Catalog) (Settings, error) {
	s := Settings{Executor: c, runtimes: WithConfiguredImages(c, runtimes)}
	errs := []error{s.Validate()}
	var err error
	if s.anthropicCAs, err = loadCertPool(s.AnthropicCAFile); err != nil {
		errs = append(errs, fmt.Errorf("AIRLOCK_ANTHROPIC_CA_FILE: %w", err))
	}
	if s.receiptKey, err = loadReceiptKey(s.ReceiptKeyFile); err != nil {
		errs = append(errs, fmt.Errorf("AIRLOCK_RECEIPT_KEY_FILE: %w", err))
	}
	if s.upstreamKeys, err = lookUpUpstreamKeys(runtimes); err != nil {
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// lookUpUpstreamKeys reads the keys of the upstreams that a runtimes file names.
func lookUpUpstreamKeys(runtimes catalog.Catalog) (map[string]string, error) {
	keys := map[string]string{}
	var errs []error
	for _, r := range runtimes.Runtimes {
		if r.Egress == nil || r.Egress.Upstream == nil {
			continue
		}
		name := r.Egress.Upstream.KeyEnv
		if _, done := keys[name]; done {
			continue
		}
		var err error
		keys[name], err = config.LookupSecret(name)
		errs = append(errs, err)
	}
	return keys, errors.Join(errs...)
}

// WithConfiguredImages returns the runtimes with the images and models of the environment. They apply to the built-in
// runtimes only, not to those of a file.
func WithConfiguredImages(c config.Executor, runtimes catalog.Catalog) catalog.Catalog {
	if c.RuntimesFile != "" {
		return runtimes
	}
	runtimes.Runtimes = slices.Clone(runtimes.Runtimes)
	for i := range runtimes.Runtimes {
		switch r := &runtimes.Runtimes[i]; r.Name {
		case "offline":
			r.Image = c.OfflineImage
		case "claude":
			r.Image = c.ClaudeImage
			if len(c.ClaudeModels) > 0 {
				r.Models = c.ClaudeModels
			}
		}
	}
	return runtimes
}

// loadReceiptKey returns nil if no file is named.
func loadReceiptKey(file string) (*receipt.Key, error) {
	if file == "" {
		return nil, nil
	}
	text, err := config.ReadSecretFile(file)
	if err != nil {
		return nil, err
	}
	key, err := receipt.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// loadCertPool returns the system's certificate authorities and those of a PEM file; nil, which means the system's, if
// no file is named.
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
