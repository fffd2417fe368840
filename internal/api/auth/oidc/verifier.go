// Package oidc authenticates requests by the tokens of an OpenID Connect provider, such as Firebase Auth or Google's
// Identity-Aware Proxy.
//
// In: a request with a JSON Web Token, and the public keys of the provider. Out: the caller that the claims name, or an
// auth.UnauthenticatedError. The package never accepts a symmetric signature and never stores a token.
package oidc

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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
	// keyRefreshInterval is how often the provider's keys are read, so it is how long a withdrawn key may still be
	// accepted.
	keyRefreshInterval = 10 * time.Minute
	// unknownKeyRefreshInterval bounds the additional reads for tokens with an unknown key: invented keys cannot cause
	// more.
	unknownKeyRefreshInterval = 10 * time.Second
	// unknownKeyRefreshTimeout is how long a token with an unknown key waits for such a read.
	unknownKeyRefreshTimeout = 2 * time.Second
	// providerTimeout bounds one request to the provider.
	providerTimeout = 10 * time.Second
)

// Config says which tokens are accepted and how their claims are read.
type Config struct {
	Issuer      string   // required value of the claim iss
	Audience    string   // required in the claim aud
	KeysURL     string   // URL of the issuer's keys; empty: its discovery document has the URL
	Algorithms  []string // accepted signature algorithms; only asymmetric ones
	TokenHeader string   // header with the token; in Authorization it is a bearer token
	TenantClaim string   // the claim that names the tenant
	ScopesClaim string   // the claim that lists the scopes; empty: every caller has all scopes
	// OperatorClaim and OperatorValue are the name and the value of the claim that makes a token the operator's; empty:
	// no token is.
	OperatorClaim, OperatorValue string
	Leeway                       time.Duration // how much the provider's clock may differ from this machine's
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	config Config
	parser *jwt.Parser
	keys   keyfunc.Keyfunc
}

// New reads the provider's keys and refreshes them until ctx ends. A nil clock is the clock of this machine.
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
		RefreshInterval:   keyRefreshInterval,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(unknownKeyRefreshInterval), 1), RateLimitWaitMax: unknownKeyRefreshTimeout,
		RefreshErrorHandlerFunc: func(url string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				log.Warn("could not refresh the provider's keys", zap.String("url", url), zap.Error(err))
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

// Authenticate returns the caller whose token is in the request.
func (v *Verifier) Authenticate(r *http.Request) (tenant.Caller, error) {
	token := v.token(r)
	if token == "" {
		reason := fmt.Sprintf("Send a token of %s, in the header %s.", v.config.Issuer, v.config.TokenHeader)
		return tenant.Caller{}, &auth.UnauthenticatedError{Reason: reason}
	}
	claims := jwt.MapClaims{}
	if _, err := v.parser.ParseWithClaims(token, claims, v.keys.KeyfuncCtx(r.Context())); err != nil {
		if r.Context().Err() != nil {
			return tenant.Caller{}, r.Context().Err()
		}
		return tenant.Caller{}, invalidToken("The token is not valid now, is for another service, or is not signed by " + v.config.Issuer + ".")
	}
	subject, _ := claims["sub"].(string)
	if v.isOperator(claims) {
		return tenant.Operator(subject), nil
	}
	claim, _ := claims[v.config.TenantClaim].(string)
	if claim == "" {
		return tenant.Caller{}, invalidToken("The token names no tenant: its claim " + v.config.TenantClaim + " is not a text.")
	}
	return tenant.Caller{Tenant: tenantOfClaim(claim), Subject: subject, Scopes: v.scopes(claims)}, nil
}

// Reauthenticate checks the token of a response that is under way: it may have expired.
func (v *Verifier) Reauthenticate(r *http.Request) error {
	_, err := v.Authenticate(r)
	return err
}

func invalidToken(reason string) error {
	return &auth.UnauthenticatedError{CredentialsPresent: true, Reason: reason}
}

// token returns the token of a request; empty if it has none.
func (v *Verifier) token(r *http.Request) string {
	text := r.Header.Get(v.config.TokenHeader)
	if strings.EqualFold(v.config.TokenHeader, "Authorization") {
		return auth.BearerToken(text)
	}
	return text
}

// isOperator reports whether a token is the operator's. A text is compared as a whole: a part of it may be somebody's
// choice.
func (v *Verifier) isOperator(claims jwt.MapClaims) bool {
	if v.config.OperatorClaim == "" {
		return false
	}
	switch claim := claims[v.config.OperatorClaim].(type) {
	case string:
		return claim == v.config.OperatorValue
	case bool:
		return strconv.FormatBool(claim) == v.config.OperatorValue
	case []any:
		return slices.Contains(claim, any(v.config.OperatorValue))
	default:
		return false
	}
}

// scopes reads the scopes of a token: a list, or one text in which spaces separate them (RFC 8693). It ignores unknown
// ones.
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
