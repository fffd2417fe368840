// Package oidc tells callers by the tokens of an OpenID Connect provider, such
// as Firebase Auth or Google's Identity-Aware Proxy.
package oidc

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

const (
	// refreshed is how often the provider's keys are read again: one that it has
	// withdrawn is believed no longer than this.
	keyRefreshInterval = 10 * time.Minute
	// unknownEvery is how often a token with a key that is not known may have the
	// keys read at once, besides. Tokens that nobody signed cannot make it more.
	unknownKeyRefreshInterval = 10 * time.Second
	// unknownWait is how long such a token waits for that.
	unknownKeyRefreshTimeout = 2 * time.Second
	// providerTimeout bounds one call of the provider.
	providerTimeout = 10 * time.Second
)

// Config says whose tokens count, and what they say.
type Config struct {
	Issuer      string        // of the claim iss
	Audience    string        // that the claim aud has to name
	KeysURL     string        // where the issuer's keys are; "": where its discovery document says
	Algorithms  []string      // of signatures; asymmetric ones only
	TokenHeader string        // that holds the token; in Authorization it is a bearer token
	TenantClaim string        // name of the claim that names the tenant
	ScopesClaim string        // name of the claim that lists the scopes; "": every caller has all
	Leeway      time.Duration // by which the provider's clock may differ from ours
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	config Config
	parser *jwt.Parser
	keys   keyfunc.Keyfunc
}

// New reads the provider's keys, and goes on reading them until ctx ends. The
// clock may be nil: this machine's.
func New(ctx context.Context, c Config, now func() time.Time, log *zap.Logger) (*Verifier, error) {
	client := &http.Client{Timeout: providerTimeout}
	if c.KeysURL == "" {
		var err error
		if c.KeysURL, err = discoverKeysURL(ctx, client, c.Issuer); err != nil {
			return nil, fmt.Errorf("discover the keys of %s: %w", c.Issuer, err)
		}
	}
	ignoreFirstError := false
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{c.KeysURL}, keyfunc.Override{
		Client: client, HTTPTimeout: providerTimeout, NoErrorReturnFirstHTTPReq: &ignoreFirstError,
		RefreshInterval: keyRefreshInterval, RefreshUnknownKID: rate.NewLimiter(rate.Every(unknownKeyRefreshInterval), 1), RateLimitWaitMax: unknownKeyRefreshTimeout,
		RefreshErrorHandlerFunc: func(url string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				log.Warn("could not read the provider's keys again", zap.String("url", url), zap.Error(err))
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("read the keys of %s: %w", c.Issuer, err)
	}
	if now == nil {
		now = time.Now
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods(c.Algorithms), jwt.WithIssuer(c.Issuer), jwt.WithAudience(c.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(c.Leeway), jwt.WithTimeFunc(now),
	)
	return &Verifier{config: c, parser: parser, keys: keys}, nil
}

// Authenticate tells whose token a request shows.
func (v *Verifier) Authenticate(r *http.Request) (tenant.Caller, error) {
	token := v.token(r)
	if token == "" {
		return tenant.Caller{}, &auth.UnauthenticatedError{Reason: fmt.Sprintf("Send a token of %s, in the header %s.", v.config.Issuer, v.config.TokenHeader)}
	}
	claims := jwt.MapClaims{}
	if _, err := v.parser.ParseWithClaims(token, claims, v.keys.KeyfuncCtx(r.Context())); err != nil {
		if r.Context().Err() != nil {
			return tenant.Caller{}, r.Context().Err()
		}
		return tenant.Caller{}, invalidToken("The token is not valid: it is expired or early, meant for another service, or not signed by " + v.config.Issuer + ".")
	}
	claim, _ := claims[v.config.TenantClaim].(string)
	if claim == "" {
		return tenant.Caller{}, invalidToken("The token names no tenant: it has no text as claim " + v.config.TenantClaim + ".")
	}
	subject, _ := claims["sub"].(string)
	return tenant.Caller{Tenant: tenantOfClaim(claim), Subject: subject, Scopes: v.scopes(claims)}, nil
}

func invalidToken(reason string) error {
	return &auth.UnauthenticatedError{CredentialsPresent: true, Reason: reason}
}

// token returns what a request shows; "" where it shows nothing.
func (v *Verifier) token(r *http.Request) string {
	text := r.Header.Get(v.config.TokenHeader)
	if strings.EqualFold(v.config.TokenHeader, "Authorization") {
		return auth.BearerToken(text)
	}
	return text
}

// scopes reads the scopes of a token: a list, or one text with blanks between
// them (RFC 8693). Those that are not ours do not count.
func (v *Verifier) scopes(claims jwt.MapClaims) []tenant.Scope {
	if v.config.ScopesClaim == "" {
		return tenant.AllScopes
	}
	var names []string
	switch claim := claims[v.config.ScopesClaim].(type) {
	case string:
		names = strings.Fields(claim)
	case []any:
		for _, value := range claim {
			text, _ := value.(string)
			names = append(names, text)
		}
	}
	var scopes []tenant.Scope
	for _, name := range names {
		if s := tenant.Scope(name); tenant.ValidScopes(s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}
