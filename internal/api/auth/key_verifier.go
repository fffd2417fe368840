package auth

import (
	"context"
	"errors"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// cacheTTL is how long a lookup is valid, also one that found no key. So it is how long a process may still accept a
	// revoked key.
	cacheTTL = 5 * time.Second
	// recheckTTL is the same for a response that is under way.
	recheckTTL = 2 * time.Second
	// cacheSize is the number of cached lookups. One needs some 300 bytes.
	cacheSize = 10_000
	// lastUsedPrecision is the precision of a key's last use. Every key in use causes one write in this time.
	lastUsedPrecision = time.Hour
	// lookupTimeout bounds one lookup in the store.
	lookupTimeout = 5 * time.Second
)

// KeyStore stores API keys. APIKeyByHash returns apikey.ErrNotFound for a missing key, and the store's time, by which
// keys expire. RecordAPIKeyUse records that a key is used; a failed call is repeated at the next lookup. Both may be
// called concurrently.
type KeyStore interface {
	APIKeyByHash(ctx context.Context, hash string) (k apikey.Key, now time.Time, err error)
	RecordAPIKeyUse(ctx context.Context, k apikey.Key, at time.Time) error
}

// KeyVerifier authenticates requests by API keys. It caches lookups. It is safe for concurrent use.
type KeyVerifier struct {
	store   KeyStore
	pepper  apikey.Pepper
	now     func() time.Time // monotonic; only differences are used
	cache   *lru.Cache[string, cacheEntry]
	lookups singleflight.Group
}

// cacheEntry is the result of a lookup. Only secrets that were made with the pepper are looked up, so invented keys
// neither cost a read nor push others out of the cache.
type cacheEntry struct {
	key       apikey.Key
	valid     bool      // the key exists and has not expired
	queriedAt time.Time // before the call
	expiresAt time.Time // of the key, if it expires within cacheTTL; else the zero time
}

// NewKeyVerifier returns a verifier. A nil clock is the clock of this machine.
func NewKeyVerifier(s KeyStore, p apikey.Pepper, now func() time.Time) *KeyVerifier {
	if now == nil {
		now = time.Now
	}
	cache, err := lru.New[string, cacheEntry](cacheSize)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	return &KeyVerifier{store: s, pepper: p, now: now, cache: cache}
}

// Authenticate returns the caller whose key is in the Authorization header.
func (v *KeyVerifier) Authenticate(req *http.Request) (tenant.Caller, error) {
	return v.authenticate(req, cacheTTL)
}

// Reauthenticate checks the key of a response that is under way. It notices a revoked key sooner than Authenticate.
func (v *KeyVerifier) Reauthenticate(req *http.Request) error {
	_, err := v.authenticate(req, recheckTTL)
	return err
}

// authenticate accepts a lookup of at most the age ttl.
func (v *KeyVerifier) authenticate(req *http.Request, ttl time.Duration) (tenant.Caller, error) {
	token := BearerToken(req.Header.Get("Authorization"))
	if token == "" {
		return tenant.Caller{}, &UnauthenticatedError{Reason: "Send an API key, with the header Authorization: Bearer alk_…"}
	}
	secret, ok := v.pepper.ParseSecret(token)
	if !ok {
		return tenant.Caller{}, &UnauthenticatedError{CredentialsPresent: true,
			Reason: "The API key is malformed: a character is wrong, a part is missing, or another server issued it."}
	}
	entry, err := v.lookup(req.Context(), v.pepper.Hash(secret), ttl)
	if err != nil {
		return tenant.Caller{}, err
	}
	if !entry.valid {
		return tenant.Caller{}, &UnauthenticatedError{CredentialsPresent: true, Reason: "The API key is not valid: it does not exist, was revoked, or has expired."}
	}
	return entry.key.Caller(), nil
}

func (v *KeyVerifier) lookup(ctx context.Context, hash string, ttl time.Duration) (cacheEntry, error) {
	if entry, ok := v.cached(hash, ttl); ok {
		return entry, nil
	}
	// One lookup serves all requests that wait for it, so it does not end with the request that started it. It runs in
	// a goroutine of its own, where a panic would end the process.
	result := v.lookups.DoChan(hash, func() (_ any, err error) {
		defer supervise.RecoverTo(&err)
		if entry, ok := v.cached(hash, ttl); ok {
			return entry, nil // another lookup ended just before
		}
		lookupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		return v.fetch(lookupCtx, hash)
	})
	select {
	case <-ctx.Done():
		return cacheEntry{}, ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return cacheEntry{}, r.Err
		}
		return r.Val.(cacheEntry), nil
	}
}

func (v *KeyVerifier) cached(hash string, ttl time.Duration) (cacheEntry, bool) {
	entry, ok := v.cache.Get(hash)
	now := v.now()
	return entry, ok && now.Sub(entry.queriedAt) < ttl && (entry.expiresAt.IsZero() || now.Before(entry.expiresAt))
}

// fetch looks a key up in the store. The result is valid from the time before the call.
func (v *KeyVerifier) fetch(ctx context.Context, hash string) (cacheEntry, error) {
	queriedAt := v.now()
	k, now, err := v.store.APIKeyByHash(ctx, hash)
	if err != nil && !errors.Is(err, apikey.ErrNotFound) {
		return cacheEntry{}, err
	}
	entry := cacheEntry{key: k, valid: err == nil, queriedAt: queriedAt}
	if entry.valid && k.ExpiresAt != nil {
		timeToExpiry := k.ExpiresAt.Sub(now)
		entry.valid = timeToExpiry > 0
		if entry.valid && timeToExpiry < cacheTTL {
			entry.expiresAt = queriedAt.Add(timeToExpiry)
		}
	}
	if entry.valid && (k.LastUsedAt == nil || now.Sub(*k.LastUsedAt) >= lastUsedPrecision) {
		_ = v.store.RecordAPIKeyUse(ctx, k, now) // the next lookup tries again
	}
	v.cache.Add(hash, entry)
	return entry, nil
}
