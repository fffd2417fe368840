package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

// TenantLimits limit each tenant; the API and the executors have the same. The 0 of a number is no limit. The limits
// are soft: processes that count at the same moment may together exceed them by a little.
type TenantLimits struct {
	// MaxQueued is the number of queued executions of a tenant, without those of batches. More are refused.
	MaxQueued int `env:"AIRLOCK_TENANT_MAX_QUEUED" envDefault:"10000"`
	// MaxRunning is the number of running executions. More wait.
	MaxRunning int `env:"AIRLOCK_TENANT_MAX_RUNNING"`
	// MaxDailyCostUSD is what a tenant's executions may cost in a day of UTC. After that, submissions are refused and
	// queued executions wait for the next day. Running executions go on; their own budgets limit them.
	MaxDailyCostUSD float64 `env:"AIRLOCK_TENANT_MAX_DAILY_USD"`
	// DailySoftLimit is the part of the daily budget, from 0 to 1, after which a tenant is warned. 0: no warning.
	DailySoftLimit float64 `env:"AIRLOCK_TENANT_DAILY_SOFT_LIMIT" envDefault:"0.8"`
	// TranscriptRetention is how long a transcript is stored after the end of its execution. 0: it is deleted at once.
	// Default: as long as the execution.
	TranscriptRetention *time.Duration `env:"AIRLOCK_TRANSCRIPT_RETENTION"`
}

// Defaults returns what holds for a tenant for which the operator has set nothing.
func (t TenantLimits) Defaults() tenant.Limits {
	return tenant.Limits{
		MaxQueued: t.MaxQueued, MaxRunning: t.MaxRunning, MaxDailyUSD: t.MaxDailyCostUSD, SoftLimit: t.DailySoftLimit,
		TranscriptRetention: t.TranscriptRetention,
	}
}

func (t TenantLimits) validate() error {
	if t.MaxQueued < 0 || t.MaxRunning < 0 {
		return errors.New("AIRLOCK_TENANT_MAX_QUEUED and AIRLOCK_TENANT_MAX_RUNNING cannot be negative")
	}
	if err := checkUSD("AIRLOCK_TENANT_MAX_DAILY_USD", t.MaxDailyCostUSD); err != nil {
		return err
	}
	if !(t.DailySoftLimit >= 0 && t.DailySoftLimit <= 1) {
		return errors.New("AIRLOCK_TENANT_DAILY_SOFT_LIMIT must be from 0 to 1")
	}
	if r := t.TranscriptRetention; r != nil && (*r < 0 || *r > execution.MaxTranscriptRetention) {
		return fmt.Errorf("AIRLOCK_TRANSCRIPT_RETENTION must be from 0 to %s, not %s", execution.MaxTranscriptRetention, *r)
	}
	return nil
}

func checkUSD(variable string, usd float64) error {
	if !usage.ValidLimit(usd) {
		return fmt.Errorf("%s must be 0, which is no limit, or from %.6f to %.0f, not %g", variable, usage.MinLimitUSD, usage.MaxLimitUSD, usd)
	}
	return nil
}

// FileLimits limit the uploaded files of each tenant. Files and MiB are soft: uploads at the same time do not count
// each other. 0 is no limit.
type FileLimits struct {
	// FileRetention is how long after its upload a file can be used. 0: until it is deleted.
	FileRetention time.Duration `env:"AIRLOCK_FILE_RETENTION" envDefault:"720h"`
	// MaxFiles is the number of files that are stored for a tenant.
	MaxFiles int `env:"AIRLOCK_TENANT_MAX_FILES" envDefault:"10000"`
	// MaxFilesMiB is their size together.
	MaxFilesMiB int64 `env:"AIRLOCK_TENANT_MAX_FILES_MIB" envDefault:"10240"`
}

func (l *FileLimits) validate() error {
	err := validateNotNegative("AIRLOCK_FILE_RETENTION", l.FileRetention)
	if l.MaxFiles < 0 || l.MaxFilesMiB < 0 {
		err = errors.Join(err, errors.New("AIRLOCK_TENANT_MAX_FILES and AIRLOCK_TENANT_MAX_FILES_MIB cannot be negative"))
	}
	return err
}

// RequestLimits limit what callers may ask of one process of the API.
type RequestLimits struct {
	// RateLimit is the number of requests per second of one tenant; twice as many in a burst. 0 is no limit. Default
	// (-1): 100, and no limit with AIRLOCK_AUTH_MODE=dev.
	RateLimit float64 `env:"AIRLOCK_RATE_LIMIT" envDefault:"-1"`
	// AuthFailureLimit is the number of wrong credentials per minute that one address may send. 0 is no limit.
	AuthFailureLimit int `env:"AIRLOCK_AUTH_FAILURE_LIMIT" envDefault:"60"`
	// TrustedProxies are the networks (CIDR) of the proxies before the API. Their X-Forwarded-For names the caller's
	// address.
	TrustedProxies []netip.Prefix `env:"AIRLOCK_TRUSTED_PROXIES"`
	// MaxConnections is the number of open connections.
	MaxConnections int `env:"AIRLOCK_MAX_CONNECTIONS" envDefault:"20000"`
	// PromptRulesFile is a YAML file of denied prompts, a list of {name, pattern}; patterns are RE2.
	PromptRulesFile string `env:"AIRLOCK_PROMPT_RULES_FILE"`
}

// defaultRateLimit is in requests per second.
const defaultRateLimit = 100

// EffectiveRateLimit returns RateLimit, or its default, which depends on the mode of authentication.
func (c *API) EffectiveRateLimit() float64 {
	switch {
	case c.RateLimit >= 0:
		return c.RateLimit
	case c.EffectiveAuthMode() == AuthDev:
		return 0
	default:
		return defaultRateLimit
	}
}

func (l *RequestLimits) validate() error {
	var errs []error
	if l.AuthFailureLimit < 0 {
		errs = append(errs, fmt.Errorf("AIRLOCK_AUTH_FAILURE_LIMIT must be at least 0, not %d", l.AuthFailureLimit))
	}
	if l.MaxConnections < 1 {
		errs = append(errs, fmt.Errorf("AIRLOCK_MAX_CONNECTIONS must be at least 1, not %d", l.MaxConnections))
	}
	return errors.Join(errs...)
}
