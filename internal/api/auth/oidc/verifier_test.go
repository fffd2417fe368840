package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provider is an OpenID Connect provider on loopback.
type provider struct {
	*httptest.Server
	mu       sync.Mutex
	keys     map[string]crypto.Signer
	keyReads int // requests for the keys
}

func startProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{keys: map[string]crypto.Signer{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.keyReads++
		var set []map[string]string
		for kid, k := range p.keys {
			set = append(set, publicJWK(kid, k))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": set})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	p.addKey(t, "rsa", rsaKey(t))
	p.addKey(t, "ec", ecKey(t))
	return p
}

// addKey adds a key to the provider.
func (p *provider) addKey(t *testing.T, kid string, k crypto.Signer) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[kid] = k
}

func rsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return k
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return k
}

// publicJWK returns the public key as a JWK.
func publicJWK(kid string, k crypto.Signer) map[string]string {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := k.Public().(type) {
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "kid": kid, "use": "sig", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, _ := k.Bytes() // uncompressed: 4, x, y
		return map[string]string{"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": b64(point[1:33]), "y": b64(point[33:])}
	default:
		panic("unknown type of key")
	}
}

const audience = "airlock"

func (p *provider) claims(change ...func(jwt.MapClaims)) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": p.URL, "aud": audience, "sub": "ada",
		"iat": jwt.NewNumericDate(now), "exp": jwt.NewNumericDate(now.Add(time.Hour)),
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func (p *provider) sign(t *testing.T, kid string, method jwt.SigningMethod, k any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(k)
	require.NoError(t, err)
	return text
}

func (p *provider) verifier(t *testing.T, change ...func(*Config)) *Verifier {
	t.Helper()
	c := Config{
		Issuer: p.URL, Audience: audience, Algorithms: []string{"RS256", "ES256"},
		TokenHeader: "Authorization", TenantClaim: "sub", Leeway: time.Minute,
	}
	for _, f := range change {
		f(&c)
	}
	v, err := New(t.Context(), c, nil, zaptest.NewLogger(t))
	require.NoError(t, err)
	return v
}

func authenticate(v *Verifier, header, value string) (tenant.Caller, error) {
	req, _ := http.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set(header, value)
	return v.Authenticate(req)
}

func withClaim(name string, value any) func(jwt.MapClaims) {
	return func(c jwt.MapClaims) { c[name] = value }
}

func TestAuthenticateValidToken(t *testing.T) {
	p := startProvider(t)
	v := p.verifier(t)
	for _, token := range []string{
		p.sign(t, "rsa", jwt.SigningMethodRS256, p.keys["rsa"], p.claims()),
		p.sign(t, "ec", jwt.SigningMethodES256, p.keys["ec"], p.claims()),
		p.sign(t, "", jwt.SigningMethodRS256, p.keys["rsa"], p.claims()),
		p.sign(t, "rsa", jwt.SigningMethodRS256, p.keys["rsa"], p.claims(withClaim("aud", []string{"other", audience}))),
		p.sign(t, "rsa", jwt.SigningMethodRS256, p.keys["rsa"], p.claims(withClaim("exp", time.Now().Add(-30*time.Second).Unix()))), // within the leeway
	} {
		found, err := authenticate(v, "Authorization", "Bearer "+token)
		require.NoError(t, err)
		require.Equal(t, tenant.Caller{Tenant: "ada", Subject: "ada", Scopes: tenant.AllScopes}, found)
	}
	require.Equal(t, 1, p.keyReads, "the keys are cached")
}

func TestAuthenticateInvalidToken(t *testing.T) {
	p := startProvider(t)
	v := p.verifier(t)
	good := p.sign(t, "rsa", jwt.SigningMethodRS256, p.keys["rsa"], p.claims())
	der, err := x509.MarshalPKIXPublicKey(p.keys["rsa"].Public())
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	parts := strings.Split(good, ".")
	signRS256 := func(change ...func(jwt.MapClaims)) string {
		return p.sign(t, "rsa", jwt.SigningMethodRS256, p.keys["rsa"], p.claims(change...))
	}
	for name, token := range map[string]string{
		"expired":                         signRS256(withClaim("exp", time.Now().Add(-2*time.Minute).Unix())),
		"never expires":                   signRS256(func(c jwt.MapClaims) { delete(c, "exp") }),
		"not valid yet":                   signRS256(withClaim("nbf", time.Now().Add(5*time.Minute).Unix())),
		"issued in the future":            signRS256(withClaim("iat", time.Now().Add(5*time.Minute).Unix())),
		"for another audience":            signRS256(withClaim("aud", "other")),
		"for nobody":                      signRS256(func(c jwt.MapClaims) { delete(c, "aud") }),
		"of another issuer":               signRS256(withClaim("iss", "https://evil.example")),
		"of no issuer":                    signRS256(func(c jwt.MapClaims) { delete(c, "iss") }),
		"without a tenant":                signRS256(func(c jwt.MapClaims) { delete(c, "sub") }),
		"with a number as tenant":         signRS256(withClaim("sub", 7)),
		"not signed":                      p.sign(t, "rsa", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, p.claims()),
		"an algorithm that is not ours":   p.sign(t, "rsa", jwt.SigningMethodRS512, p.keys["rsa"], p.claims()),
		"HS256 with the public key":       p.sign(t, "rsa", jwt.SigningMethodHS256, publicPEM, p.claims()),
		"HS256 with the public key's DER": p.sign(t, "", jwt.SigningMethodHS256, der, p.claims()),
		"by another key with that ID":     p.sign(t, "rsa", jwt.SigningMethodRS256, rsaKey(t), p.claims()),
		"by a key of another kind":        p.sign(t, "rsa", jwt.SigningMethodES256, p.keys["ec"], p.claims()),
		"with other claims":               parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"bob"}`)) + "." + parts[2],
		"without a signature":             parts[0] + "." + parts[1] + ".",
		"in two parts":                    parts[0] + "." + parts[1],
		"no token":                        "x",
		"dots":                            "..",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := authenticate(v, "Authorization", "Bearer "+token)
			var unauthErr *auth.UnauthenticatedError
			require.ErrorAs(t, err, &unauthErr)
			require.True(t, unauthErr.CredentialsPresent)
		})
	}
	_, err = authenticate(v, "Authorization", "Bearer "+good)
	require.NoError(t, err)
	_, err = authenticate(v, "Authorization", "Basic "+good)
	var unauthErr *auth.UnauthenticatedError
	require.ErrorAs(t, err, &unauthErr)
	require.False(t, unauthErr.CredentialsPresent)
}

// A new key of the provider is found at once. Tokens with unknown keys cause no further requests to the provider.
func TestKeyRotation(t *testing.T) {
	p := startProvider(t)
	v := p.verifier(t)
	fresh := rsaKey(t)
	p.addKey(t, "rsa2", fresh)
	found, err := authenticate(v, "Authorization", "Bearer "+p.sign(t, "rsa2", jwt.SigningMethodRS256, fresh, p.claims()))
	require.NoError(t, err)
	require.Equal(t, "ada", found.Tenant)
	require.Equal(t, 2, p.keyReads)

	unknownKey := rsaKey(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond) // they would wait for the rate limit
	defer cancel()
	for range 3 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+p.sign(t, "unknown", jwt.SigningMethodRS256, unknownKey, p.claims()))
		_, err = v.Authenticate(req)
		require.Error(t, err)
	}
	require.Equal(t, 2, p.keyReads)
}

// Google's Identity-Aware Proxy has its own header and a fixed URL of its keys.
func TestIdentityAwareProxyToken(t *testing.T) {
	p := startProvider(t)
	v := p.verifier(t, func(c *Config) {
		c.Issuer, c.KeysURL, c.TokenHeader, c.TenantClaim = "https://cloud.google.com/iap", p.URL+"/keys", "X-Goog-Iap-Jwt-Assertion", "email"
		c.Algorithms = []string{"ES256"}
	})
	token := p.sign(t, "ec", jwt.SigningMethodES256, p.keys["ec"], p.claims(
		withClaim("iss", "https://cloud.google.com/iap"), withClaim("sub", "accounts.google.com:1"), withClaim("email", "ada@example.com")))
	found, err := authenticate(v, "X-Goog-Iap-Jwt-Assertion", token)
	require.NoError(t, err)
	require.Equal(t, tenant.Caller{Tenant: "ada@example.com", Subject: "accounts.google.com:1", Scopes: tenant.AllScopes}, found)
	_, err = authenticate(v, "Authorization", "Bearer "+token)
	require.Error(t, err)
}

func TestTokenScopes(t *testing.T) {
	p := startProvider(t)
	v := p.verifier(t, func(c *Config) { c.ScopesClaim = "scope" })
	for name, tc := range map[string]struct {
		claim any
		want  []tenant.Scope
	}{
		"a text":  {"openid read run", []tenant.Scope{tenant.ScopeRead, tenant.ScopeRun}},
		"a list":  {[]string{"keys", "root"}, []tenant.Scope{tenant.ScopeKeys}},
		"nothing": {nil, nil},
		"numbers": {[]int{1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := authenticate(v, "Authorization", "Bearer "+p.sign(t, "rsa", jwt.SigningMethodRS256, p.keys["rsa"], p.claims(withClaim("scope", tc.claim))))
			require.NoError(t, err)
			require.Equal(t, tc.want, found.Scopes)
		})
	}
}

// Only the configured claim makes a token the operator's. It is then no tenant's, whatever else it says.
func TestOperatorClaim(t *testing.T) {
	p := startProvider(t)
	v := p.verifier(t, func(c *Config) { c.ScopesClaim, c.OperatorClaim, c.OperatorValue = "scope", "groups", "ops" })
	verify := func(v *Verifier, change ...func(jwt.MapClaims)) (tenant.Caller, error) {
		return authenticate(v, "Authorization", "Bearer "+p.sign(t, "rsa", jwt.SigningMethodRS256, p.keys["rsa"], p.claims(change...)))
	}
	for _, claim := range []any{"ops", []string{"staff", "ops"}} {
		found, err := verify(v, withClaim("groups", claim), withClaim("scope", "read"))
		require.NoError(t, err)
		require.Equal(t, tenant.Operator("ada"), found)
	}
	_, err := verify(v, withClaim("groups", "ops"), func(c jwt.MapClaims) { delete(c, "sub") })
	require.NoError(t, err, "the operator needs no tenant")
	for _, claim := range []any{nil, "", "ops staff", "no-ops", []string{"op"}, []any{[]string{"ops"}}, true, 1, map[string]any{"ops": true}} {
		found, err := verify(v, withClaim("groups", claim), withClaim("scope", "read operator"))
		require.NoError(t, err)
		require.Equal(t, tenant.Caller{Tenant: "ada", Subject: "ada", Scopes: []tenant.Scope{tenant.ScopeRead}}, found, "%v", claim)
	}
	truth := p.verifier(t, func(c *Config) { c.OperatorClaim, c.OperatorValue = "operator", "true" })
	for claim, want := range map[any]bool{true: true, "true": true, false: false, 1: false} {
		found, err := verify(truth, withClaim("operator", claim))
		require.NoError(t, err)
		require.Equal(t, want, found.Tenant == "", "%v", claim)
	}
	nobody, err := verify(p.verifier(t), withClaim("", ""))
	require.NoError(t, err)
	require.Equal(t, "ada", nobody.Tenant, "without the setting no token is")
}

func TestDiscoveryErrors(t *testing.T) {
	p := startProvider(t)
	for want, issuer := range map[string]string{
		"404":                p.URL + "/elsewhere",
		"names the issuer":   p.URL + "/",
		"connection refused": "http://127.0.0.1:1",
	} {
		_, err := New(t.Context(), Config{Issuer: issuer}, nil, zaptest.NewLogger(t))
		require.ErrorContains(t, err, want)
	}
}

// Every claim names a valid tenant, and two claims never name the same one.
func TestTenantOfClaim(t *testing.T) {
	require.Equal(t, "ada@example.com", tenantOfClaim("ada@example.com"))
	rapid.Check(t, func(t *rapid.T) {
		claims := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z./|:-]{1,8}`), rapid.Just("__x__"), rapid.Just("../x"))
		a, b := claims.Draw(t, "a"), claims.Draw(t, "b")
		for _, claim := range []string{a, tenantOfClaim(a), tenantOfClaim(tenantOfClaim(a))} {
			if !tenant.ValidName(tenantOfClaim(claim)) {
				t.Fatalf("%q is no valid tenant", tenantOfClaim(claim))
			}
		}
		if (tenantOfClaim(a) == tenantOfClaim(b)) != (a == b) {
			t.Fatalf("the claims %q and %q", a, b)
		}
		if h := tenantOfClaim(a); strings.HasPrefix(h, hashedTenantPrefix) && tenantOfClaim(h) == h {
			t.Fatalf("the hash %q names the tenant of %q", h, a)
		}
	})
}
