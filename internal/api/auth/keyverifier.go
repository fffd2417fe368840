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
)

const (
	// believed is how long an answer about a key holds, also that there is no
	// such key. A revocation bites within it, in every process.
	cacheTTL = 5 * time.Second
	// remembered is about how many keys. One entry is some 300 bytes.
	cacheSize = 10_000
	// usedEvery is how exactly it is known when a key was last used: a write for
	// each key in use, in this time.
	lastUsedPrecision = time.Hour
	// lookTimeout bounds one look at the store.
	lookupTimeout = 5 * time.Second
)

// Store is where keys are. KeyByHash returns apikey.ErrUnknown for what is not there,
// and the store's own time, by which keys expire. KeyUsed notes that a key is
// used; it may fail without harm. Concurrent calls.
type KeyStore interface {
	APIKeyByHash(ctx context.Context, hash string) (k apikey.Key, now time.Time, err error)
	RecordAPIKeyUse(ctx context.Context, k apikey.Key, at time.Time) error
}

// KeyVerifier knows the keys. It is safe for concurrent use.
type KeyVerifier struct {
	store   KeyStore
	pepper  apikey.Pepper
	now     func() time.Time // monotonic; only differences count
	cache   *lru.Cache[string, cacheEntry]
	lookups singleflight.Group
}

// finding is what a look at the store found, until it has to be looked again.
type cacheEntry struct {
	key       apikey.Key
	valid     bool
	expiresAt time.Time
}

// NewKeyVerifier returns a ring over the store. The clock may be nil: this machine's.
func NewKeyVerifier(s KeyStore, p apikey.Pepper, now func() time.Time) *KeyVerifier {
	if now == nil {
		now = time.Now
	}
	cache, _ := lru.New[string, cacheEntry](cacheSize) // fails for a size of nothing only
	return &KeyVerifier{store: s, pepper: p, now: now, cache: cache}
}

// Authenticate tells whose key a request shows in its Authorization header.
func (r *KeyVerifier) Authenticate(req *http.Request) (tenant.Caller, error) {
	token := BearerToken(req.Header.Get("Authorization"))
	if token == "" {
		return tenant.Caller{}, &UnauthenticatedError{Reason: "Send a key, with the header Authorization: Bearer alk_…"}
	}
	secret, ok := apikey.ParseSecret(token)
	if !ok {
		return tenant.Caller{}, &UnauthenticatedError{CredentialsPresent: true, Reason: "This is no key; a letter of it is wrong, or a part missing."}
	}
	entry, err := r.lookup(req.Context(), r.pepper.Hash(secret))
	if err != nil {
		return tenant.Caller{}, err
	}
	if !entry.valid {
		return tenant.Caller{}, &UnauthenticatedError{CredentialsPresent: true, Reason: "The key is not known: it was never issued, was revoked, or has expired."}
	}
	return entry.key.Caller(), nil
}

func (r *KeyVerifier) lookup(ctx context.Context, hash string) (cacheEntry, error) {
	if f, ok := r.cached(hash); ok {
		return f, nil
	}
	// One look serves all who wait for it, so it does not end with one of them.
	result := r.lookups.DoChan(hash, func() (any, error) {
		if f, ok := r.cached(hash); ok {
			return f, nil // of a look that ended just before
		}
		lookupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		return r.fetch(lookupCtx, hash)
	})
	select {
	case <-ctx.Done():
		return cacheEntry{}, ctx.Err()
	case a := <-result:
		if a.Err != nil {
			return cacheEntry{}, a.Err
		}
		return a.Val.(cacheEntry), nil
	}
}

func (r *KeyVerifier) cached(hash string) (cacheEntry, bool) {
	f, ok := r.cache.Get(hash)
	return f, ok && r.now().Before(f.expiresAt)
}

// look asks the store. Its answer holds from before it was asked.
func (r *KeyVerifier) fetch(ctx context.Context, hash string) (cacheEntry, error) {
	queriedAt := r.now()
	k, now, err := r.store.APIKeyByHash(ctx, hash)
	if err != nil && !errors.Is(err, apikey.ErrNotFound) {
		return cacheEntry{}, err
	}
	f := cacheEntry{key: k, valid: err == nil, expiresAt: queriedAt.Add(cacheTTL)}
	if f.valid && k.ExpiresAt != nil {
		timeToExpiry := k.ExpiresAt.Sub(now)
		f.valid = timeToExpiry > 0
		if f.valid && timeToExpiry < cacheTTL {
			f.expiresAt = queriedAt.Add(timeToExpiry)
		}
	}
	if f.valid && (k.LastUsedAt == nil || now.Sub(*k.LastUsedAt) >= lastUsedPrecision) {
		_ = r.store.RecordAPIKeyUse(ctx, k, now) // the next look tries again
	}
	r.cache.Add(hash, f)
	return f, nil
}
