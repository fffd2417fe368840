package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/auth/oidc"
	"github.com/airlock-run/airlock/internal/api/ratelimit"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

// countingKeyStore counts the lookups of keys.
type countingKeyStore struct {
	*store.Store
	lookups atomic.Int64
}

func (s *countingKeyStore) APIKeyByHash(ctx context.Context, hash string) (apikey.Key, time.Time, error) {
	s.lookups.Add(1)
	return s.Store.APIKeyByHash(ctx, hash)
}

const (
	wrongCallers = 8
	goodCallers  = 20
)

// callBesideWrongCallers lets good callers call while wrong ones do so without a pause, all from one address, whose
// limit of failures is used up. Each good caller uses its header for the first time.
func callBesideWrongCallers(t *testing.T, s server, good [][]string, wrong func() []string) {
	t.Helper()
	for s.do(http.MethodGet, "/agents", "", wrong()...).StatusCode != http.StatusTooManyRequests {
	}
	stop, stopped := make(chan struct{}), sync.WaitGroup{}
	for range wrongCallers {
		stopped.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code := s.do(http.MethodGet, "/agents", "", wrong()...).StatusCode; code != http.StatusTooManyRequests {
					t.Errorf("a wrong key got %d", code)
				}
			}
		})
	}
	var callers sync.WaitGroup
	for _, header := range good {
		callers.Go(func() {
			if got := s.do(http.MethodGet, "/agents", "", header...); got.StatusCode != http.StatusOK {
				t.Errorf("a right key got %d: %s", got.StatusCode, got.body)
			}
		})
	}
	callers.Wait()
	close(stop)
	stopped.Wait()
}

// usedUpAtOnce allows three failures, and gains no other during the test.
func usedUpAtOnce(c *Config) { c.Limits.AuthFailures = ratelimit.NewBuckets(1e-9, 3, nil) }

// Wrong keys neither hinder the right keys of others behind the same address, nor cost a query of the database: a key
// that nobody issued is recognized without one, and a revoked one is looked up once in a while.
func TestWrongKeysDoNotHinderRightKeys(t *testing.T) {
	keys := new(countingKeyStore)
	g := startWithAPIKeys(t, func(c *Config, s *store.Store) {
		keys.Store = s
		c.Auth = auth.NewKeyVerifier(keys, *c.APIKeyPepper, func() time.Time { return time.Unix(0, 0) })
		c.Log = zap.NewNop() // of very many calls
		usedUpAtOnce(c)
	})
	var good [][]string
	for range goodCallers {
		good = append(good, g.issueKey("ada", tenant.ScopeRead))
	}
	others, err := apikey.NewPepper([]byte(strings.Repeat("other", 8)))
	require.NoError(t, err)
	revoked, revokedSecret := apikey.New(g.pepper, "ada", "revoked", []tenant.Scope{tenant.ScopeRead})
	require.NotEmpty(t, revoked.ID)
	var calls atomic.Int64
	callBesideWrongCallers(t, g.server, good, func() []string {
		switch calls.Add(1) % 3 {
		case 0:
			return bearerHeader("alk_x")
		case 1:
			return bearerHeader(revokedSecret.Reveal())
		default:
			_, secret := apikey.New(others, "ada", "invented", nil)
			return bearerHeader(secret.Reveal())
		}
	})
	require.EqualValues(t, goodCallers+1, keys.lookups.Load(), "one for each key that was issued, however many calls there were")
}

// The same with the tokens of a provider: one that is not valid costs no request to the provider.
func TestWrongTokensDoNotHinderRightTokens(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	point, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	b64 := base64.RawURLEncoding.EncodeToString
	var keyReads atomic.Int64
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		keyReads.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{
			{"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "alg": "ES256", "x": b64(point[1:33]), "y": b64(point[33:])},
		}})
	}))
	t.Cleanup(provider.Close)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	verifier, err := oidc.New(ctx, oidc.Config{
		Issuer: provider.URL, Audience: "airlock", KeysURL: provider.URL, Algorithms: []string{"ES256"}, TokenHeader: "Authorization", TenantClaim: "sub",
	}, nil, zap.NewNop())
	require.NoError(t, err)
	s := startServer(t, func(c *Config, _ *store.Store) {
		c.Auth = verifier
		c.Log = zap.NewNop() // of very many calls
		usedUpAtOnce(c)
	})
	sign := func(subject string, lifetime time.Duration) []string {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": provider.URL, "aud": "airlock", "sub": subject, "exp": jwt.NewNumericDate(time.Now().Add(lifetime)),
		})
		token.Header["kid"] = "k"
		text, err := token.SignedString(key)
		if err != nil {
			t.Error(err)
		}
		return bearerHeader(text)
	}
	var good [][]string
	for i := range goodCallers {
		good = append(good, sign(fmt.Sprintf("tenant-%d", i), time.Hour))
	}
	expired := sign("ada", -time.Hour)
	callBesideWrongCallers(t, s, good, func() []string { return expired })
	require.EqualValues(t, 1, keyReads.Load())
}
