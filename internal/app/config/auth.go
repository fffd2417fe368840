package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/apikey"
)

// The ways in which the API authenticates callers.
const (
	AuthDev  = "dev"
	AuthKeys = "keys"
	AuthOIDC = "oidc"
)

// Auth is how the API authenticates callers.
type Auth struct {
	// AuthMode is keys (API keys), oidc (tokens of a provider) or dev: callers are not authenticated, the header
	// X-User-Id names the tenant, and the API refuses to listen beyond loopback. Default: dev on loopback, else keys.
	AuthMode string `env:"AIRLOCK_AUTH_MODE"`
	PepperSource
	OperatorKeySource
	OIDCProvider
}

// OperatorKeySource is where the operator's key comes from.
type OperatorKeySource struct {
	// OperatorKey is the bearer token of the operator, in every mode: at least 32 characters. Without it no key has the
	// scope operator.
	OperatorKey string `env:"AIRLOCK_OPERATOR_KEY"`
	// OperatorKeyFile is a file that holds the key instead; a line break at its end does not count.
	OperatorKeyFile string `env:"AIRLOCK_OPERATOR_KEY_FILE"`
}

// PepperSource is where the pepper of the API keys comes from.
type PepperSource struct {
	// Pepper is mixed into the stored hash of a key, so that the hash is useless without it. It has at least 32 bytes
	// and is the same in all processes of the API. With another pepper, all keys are invalid.
	Pepper string `env:"AIRLOCK_API_KEY_PEPPER"`
	// PepperFile is a file that holds the pepper instead; a line break at its end does not count.
	PepperFile string `env:"AIRLOCK_API_KEY_PEPPER_FILE"`
}

// OIDCProvider is the OpenID Connect provider whose tokens callers send with AIRLOCK_AUTH_MODE=oidc.
type OIDCProvider struct {
	// Issuer is the claim iss of its tokens, such as https://securetoken.google.com/PROJECT (Firebase Auth) or
	// https://cloud.google.com/iap.
	Issuer string `env:"AIRLOCK_OIDC_ISSUER"`
	// Audience is the claim aud that tokens must have.
	Audience string `env:"AIRLOCK_OIDC_AUDIENCE"`
	// JWKSURL is the address of the provider's keys. Default: the one in its discovery document. IAP has no such
	// document; its keys are at https://www.gstatic.com/iap/verify/public_key-jwk.
	JWKSURL string `env:"AIRLOCK_OIDC_JWKS_URL"`
	// Algorithms are the allowed signature algorithms; only asymmetric ones.
	Algorithms []string `env:"AIRLOCK_OIDC_ALGORITHMS" envDefault:"RS256,ES256"`
	// Header holds the token: in Authorization a bearer token, in any other header the token alone, such as IAP's
	// X-Goog-Iap-Jwt-Assertion. A proxy before the API must not let callers set such a header themselves.
	Header string `env:"AIRLOCK_OIDC_HEADER" envDefault:"Authorization"`
	// TenantClaim is the claim that names the tenant. A value that is not a valid tenant name is replaced by its hash.
	TenantClaim string `env:"AIRLOCK_OIDC_TENANT_CLAIM" envDefault:"sub"`
	// ScopesClaim is the claim that lists the caller's scopes. Default: every caller has all scopes.
	ScopesClaim string `env:"AIRLOCK_OIDC_SCOPES_CLAIM"`
	// OperatorClaim is name=value: a token whose claim of this name has this value, as a text, in a list of texts, or as
	// a truth value, is the operator's. Such a token names no tenant. Default: no token is.
	OperatorClaim string `env:"AIRLOCK_OIDC_OPERATOR_CLAIM"`
	// Leeway is by how much the provider's clock may differ from this machine's.
	Leeway time.Duration `env:"AIRLOCK_OIDC_LEEWAY" envDefault:"1m"`
}

// asymmetricAlgorithms are the algorithms that a provider's public keys can verify.
var asymmetricAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

var errDevAuthNotLoopback = errors.New("AIRLOCK_AUTH_MODE=dev does not authenticate callers and is allowed on loopback only: " +
	"set AIRLOCK_AUTH_MODE=keys, or listen on 127.0.0.1 behind a proxy that authenticates")

// EffectiveAuthMode returns AuthMode, or its default, which depends on ListenAddr.
func (c *API) EffectiveAuthMode() string {
	host, _, _ := net.SplitHostPort(c.ListenAddr)
	switch {
	case c.AuthMode != "":
		return c.AuthMode
	case isLoopback(host):
		return AuthDev
	default:
		return AuthKeys
	}
}

func (c *API) validateAuth() error {
	switch host, _, _ := net.SplitHostPort(c.ListenAddr); c.EffectiveAuthMode() {
	case AuthDev:
		if !isLoopback(host) {
			return fmt.Errorf("AIRLOCK_LISTEN_ADDR is %q, but %w", c.ListenAddr, errDevAuthNotLoopback)
		}
		return nil
	case AuthKeys:
		return nil // LoadPepper reports a wrong pepper
	case AuthOIDC:
		return c.OIDCProvider.validate()
	default:
		return fmt.Errorf("AIRLOCK_AUTH_MODE must be dev, keys or oidc, not %q", c.AuthMode)
	}
}

// CheckBoundAddr refuses an address that other machines can reach in the mode dev. A host such as localhost may have
// resolved to one.
func (c *API) CheckBoundAddr(addr net.Addr) error {
	if tcp, ok := addr.(*net.TCPAddr); c.EffectiveAuthMode() == AuthDev && (!ok || !tcp.IP.IsLoopback()) {
		return fmt.Errorf("AIRLOCK_LISTEN_ADDR resolved to %s, but %w", addr, errDevAuthNotLoopback)
	}
	return nil
}

// LoadPepper reads the pepper. Its error names the variable that is wrong.
func (p *PepperSource) LoadPepper() (apikey.Pepper, error) {
	name := "AIRLOCK_API_KEY_PEPPER"
	secret, err := readSecret(name, p.Pepper, p.PepperFile)
	if err != nil {
		return apikey.Pepper{}, err
	}
	if p.PepperFile != "" {
		name += SecretFileSuffix
	}
	pepper, err := apikey.NewPepper([]byte(secret))
	if err != nil {
		return pepper, fmt.Errorf("%s (needed with AIRLOCK_AUTH_MODE=keys): %w", name, err)
	}
	return pepper, nil
}

// LoadOperatorKey reads the operator's key; empty: there is none. Its error names the variable that is wrong.
func (s *OperatorKeySource) LoadOperatorKey() (string, error) {
	return readSecret("AIRLOCK_OPERATOR_KEY", s.OperatorKey, s.OperatorKeyFile)
}

// SplitOperatorClaim returns the name and the value of OperatorClaim; both are empty if it is not set.
func (p *OIDCProvider) SplitOperatorClaim() (name, value string) {
	name, value, _ = strings.Cut(p.OperatorClaim, "=")
	return name, value
}

func (p *OIDCProvider) validate() error {
	var errs []error
	if p.Issuer == "" || p.Audience == "" {
		errs = append(errs, errors.New("AIRLOCK_OIDC_ISSUER and AIRLOCK_OIDC_AUDIENCE have to be set with AIRLOCK_AUTH_MODE=oidc"))
	}
	errs = append(errs, validateHTTPS("AIRLOCK_OIDC_ISSUER", p.Issuer), validateHTTPS("AIRLOCK_OIDC_JWKS_URL", p.JWKSURL))
	for _, a := range p.Algorithms {
		if !slices.Contains(asymmetricAlgorithms, a) {
			errs = append(errs, fmt.Errorf("AIRLOCK_OIDC_ALGORITHMS must be of %v, not %q", asymmetricAlgorithms, a))
		}
	}
	if len(p.Algorithms) == 0 || p.Header == "" || p.TenantClaim == "" {
		errs = append(errs, errors.New("AIRLOCK_OIDC_ALGORITHMS, AIRLOCK_OIDC_HEADER and AIRLOCK_OIDC_TENANT_CLAIM must not be empty"))
	}
	if name, value := p.SplitOperatorClaim(); p.OperatorClaim != "" && (name == "" || value == "") {
		errs = append(errs, fmt.Errorf("AIRLOCK_OIDC_OPERATOR_CLAIM must be name=value, such as groups=airlock-operators, not %q", p.OperatorClaim))
	}
	if p.Leeway < 0 || p.Leeway > 10*time.Minute {
		errs = append(errs, fmt.Errorf("AIRLOCK_OIDC_LEEWAY must be from 0s to 10m, not %s", p.Leeway))
	}
	return errors.Join(errs...)
}

// validateHTTPS allows no URL at all, an https URL, and an http URL of loopback.
func validateHTTPS(variable, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return fmt.Errorf("%s must be a URL with https, not %q", variable, text)
	}
	return nil
}
