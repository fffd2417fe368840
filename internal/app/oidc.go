package app

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/api/auth/oidc"
)

// Provider is the OpenID Connect provider whose tokens callers show with AIRLOCK_AUTH_MODE=oidc.
type OIDCProvider struct {
	// Issuer is the claim iss of its tokens, such as https://securetoken.google.com/PROJECT (Firebase Auth) or
	// https://cloud.google.com/iap.
	Issuer string `env:"AIRLOCK_OIDC_ISSUER"`
	// Audience is what the tokens have to be meant for: the claim aud.
	Audience string `env:"AIRLOCK_OIDC_AUDIENCE"`
	// JWKSURL is where its keys are. Default: where its discovery document says. IAP has none, but
	// https://www.gstatic.com/iap/verify/public_key-jwk.
	JWKSURL string `env:"AIRLOCK_OIDC_JWKS_URL"`
	// Algorithms may sign tokens; only asymmetric ones.
	Algorithms []string `env:"AIRLOCK_OIDC_ALGORITHMS" envDefault:"RS256,ES256"`
	// Header holds the token: as a bearer token in Authorization, alone in any other, such as IAP's
	// X-Goog-Iap-Jwt-Assertion. Whatever stands before the API must not let callers set it themselves.
	Header string `env:"AIRLOCK_OIDC_HEADER" envDefault:"Authorization"`
	// TenantClaim names the claim that names the tenant. What cannot be a tenant's name is replaced by its hash.
	TenantClaim string `env:"AIRLOCK_OIDC_TENANT_CLAIM" envDefault:"sub"`
	// ScopesClaim names the claim that lists the caller's scopes. Default: every caller has all.
	ScopesClaim string `env:"AIRLOCK_OIDC_SCOPES_CLAIM"`
	// Leeway is by how much the provider's clock may differ from this machine's.
	Leeway time.Duration `env:"AIRLOCK_OIDC_LEEWAY" envDefault:"1m"`
}

// asymmetric are the algorithms that the public keys of a provider can be for.
var asymmetricAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (p *OIDCProvider) validate() error {
	var errs []error
	if p.Issuer == "" || p.Audience == "" {
		errs = append(errs, errors.New("AIRLOCK_OIDC_ISSUER and AIRLOCK_OIDC_AUDIENCE have to be set with AIRLOCK_AUTH_MODE=oidc"))
	}
	for name, text := range map[string]string{"AIRLOCK_OIDC_ISSUER": p.Issuer, "AIRLOCK_OIDC_JWKS_URL": p.JWKSURL} {
		if u, err := url.Parse(text); text != "" && (err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname()))) {
			errs = append(errs, fmt.Errorf("%s must be a URL with https, not %q", name, text))
		}
	}
	for _, a := range p.Algorithms {
		if !slices.Contains(asymmetricAlgorithms, a) {
			errs = append(errs, fmt.Errorf("AIRLOCK_OIDC_ALGORITHMS must be of %v, not %q", asymmetricAlgorithms, a))
		}
	}
	if len(p.Algorithms) == 0 || p.Header == "" || p.TenantClaim == "" {
		errs = append(errs, errors.New("AIRLOCK_OIDC_ALGORITHMS, AIRLOCK_OIDC_HEADER and AIRLOCK_OIDC_TENANT_CLAIM must not be empty"))
	}
	if p.Leeway < 0 || p.Leeway > 10*time.Minute {
		errs = append(errs, fmt.Errorf("AIRLOCK_OIDC_LEEWAY must be from 0s to 10m, not %s", p.Leeway))
	}
	return errors.Join(errs...)
}

func (p *OIDCProvider) verifierConfig() oidc.Config {
	return oidc.Config{
		Issuer: p.Issuer, Audience: p.Audience, KeysURL: p.JWKSURL, Algorithms: p.Algorithms,
		TokenHeader: p.Header, TenantClaim: p.TenantClaim, ScopesClaim: p.ScopesClaim, Leeway: p.Leeway,
	}
}
