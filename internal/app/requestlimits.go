package app

import (
	"errors"
	"fmt"
	"net"

	"github.com/airlock-run/airlock/internal/api"
	"github.com/airlock-run/airlock/internal/api/promptrules"
	"github.com/airlock-run/airlock/internal/api/ratelimit"
)

// Traffic bounds what callers may ask of one process of the API.
type RequestLimits struct {
	// RateLimit is how many requests a second one tenant may make; twice as many at once. 0 is no limit. Default: 100,
	// and none with AIRLOCK_AUTH_MODE=dev.
	RateLimit float64 `env:"AIRLOCK_RATE_LIMIT" envDefault:"-1"`
	// AuthFailures is how many wrong credentials one address may show in a minute; then it has to wait. 0 is no limit.
	AuthFailureLimit int `env:"AIRLOCK_AUTH_FAILURE_LIMIT" envDefault:"60"`
	// TrustedProxies are the networks (CIDR) of what stands before the API, whose X-Forwarded-For tells addresses apart.
	TrustedProxies []string `env:"AIRLOCK_TRUSTED_PROXIES"`
	// MaxConnections is how many connections there may be at once.
	MaxConnections int `env:"AIRLOCK_MAX_CONNECTIONS" envDefault:"20000"`
	// PromptRulesFile says in YAML which prompts are denied, a list of {name, pattern}; patterns are of RE2.
	PromptRulesFile string `env:"AIRLOCK_PROMPT_RULES_FILE"`
}

func (t *RequestLimits) validate() error {
	var errs []error
	if t.AuthFailureLimit < 0 {
		errs = append(errs, fmt.Errorf("AIRLOCK_AUTH_FAILURE_LIMIT must be at least 0, not %d", t.AuthFailureLimit))
	}
	if t.MaxConnections < 1 {
		errs = append(errs, fmt.Errorf("AIRLOCK_MAX_CONNECTIONS must be at least 1, not %d", t.MaxConnections))
	}
	if _, err := promptrules.Load(t.PromptRulesFile); err != nil {
		errs = append(errs, fmt.Errorf("AIRLOCK_PROMPT_RULES_FILE: %w", err))
	}
	_, err := t.parseTrustedProxies()
	return errors.Join(append(errs, err)...)
}

func (t *RequestLimits) parseTrustedProxies() ([]*net.IPNet, error) {
	var (
		networks []*net.IPNet
		errs     []error
	)
	for _, text := range t.TrustedProxies {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("AIRLOCK_TRUSTED_PROXIES must hold networks such as 10.0.0.0/8, not %q", text))
			continue
		}
		networks = append(networks, network)
	}
	return networks, errors.Join(errs...)
}

// defaultRate of requests a second, where callers are known.
const defaultRateLimit = 100

// limits are those of the configuration, which was checked.
func (c *API) newLimits() api.Limits {
	rateLimit := c.RateLimit
	if rateLimit < 0 {
		rateLimit = defaultRateLimit
		if c.effectiveAuthMode() == AuthDev {
			rateLimit = 0
		}
	}
	proxies, _ := c.parseTrustedProxies()
	return api.Limits{
		Requests:       ratelimit.NewBuckets(rateLimit, max(1, int(2*rateLimit)), nil),
		AuthFailures:   ratelimit.NewBuckets(float64(c.AuthFailureLimit)/60, c.AuthFailureLimit, nil),
		MaxConnections: c.MaxConnections,
		TrustedProxies: proxies,
	}
}
