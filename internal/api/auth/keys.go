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
	believed = 5 * time.Second
	// remembered is about how many keys. One entry is some 300 bytes.
	remembered = 10_000
	// usedEvery is how exactly it is known when a key was last used: a write for
	// each key in use, in this time.
	usedEvery = time.Hour
	// lookTimeout bounds one look at the store.
	lookTimeout = 5 * time.Second
)

// Store is where keys are. KeyByHash returns apikey.ErrUnknown for what is not there,
// and the store's own time, by which keys expire. KeyUsed notes that a key is
// used; it may fail without harm. Concurrent calls.
type Store interface {
	KeyByHash(ctx context.Context, hash string) (k apikey.Key, now time.Time, err error)
	KeyUsed(ctx context.Context, k apikey.Key, at time.Time) error
}

// KeyVerifier knows the keys. It is safe for concurrent use.
type KeyVerifier struct {
	store  Store
	pepper apikey.Pepper
	now    func() time.Time // monotonic; only differences count
	known  *lru.Cache[string, finding]
	looks  singleflight.Group
}

// finding is what a look at the store found, until it has to be looked again.
type finding struct {
	key   apikey.Key
	valid bool
	until time.Time
}

// NewKeyVerifier returns a ring over the store. The clock may be nil: this machine's.
func NewKeyVerifier(s Store, p apikey.Pepper, now func() time.Time) *KeyVerifier {
	if now == nil {
		now = time.Now
	}
	known, _ := lru.New[string, finding](remembered) // fails for a size of nothing only
	return &KeyVerifier{store: s, pepper: p, now: now, known: known}
}

// Authenticate tells whose key a request shows in its Authorization header.
func (r *KeyVerifier) Authenticate(req *http.Request) (tenant.Caller, error) {
	token := Bearer(req.Header.Get("Authorization"))
	if token == "" {
		return tenant.Caller{}, &UnauthenticatedError{Why: "Send a key, with the header Authorization: Bearer alk_…"}
	}
	secret, ok := apikey.Parse(token)
	if !ok {
		return tenant.Caller{}, &UnauthenticatedError{Given: true, Why: "This is no key; a letter of it is wrong, or a part missing."}
	}
	found, err := r.find(req.Context(), r.pepper.Hash(secret))
	if err != nil {
		return tenant.Caller{}, err
	}
	if !found.valid {
		return tenant.Caller{}, &UnauthenticatedError{Given: true, Why: "The key is not known: it was never issued, was revoked, or has expired."}
	}
	return found.key.Caller(), nil
}

func (r *KeyVerifier) find(ctx context.Context, hash string) (finding, error) {
	if f, ok := r.recall(hash); ok {
		return f, nil
	}
	// One look serves all who wait for it, so it does not end with one of them.
	answer := r.looks.DoChan(hash, func() (any, error) {
		if f, ok := r.recall(hash); ok {
			return f, nil // of a look that ended just before
		}
		look, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
		defer cancel()
		return r.look(look, hash)
	})
	select {
	case <-ctx.Done():
		return finding{}, ctx.Err()
	case a := <-answer:
		if a.Err != nil {
			return finding{}, a.Err
		}
		return a.Val.(finding), nil
	}
}

func (r *KeyVerifier) recall(hash string) (finding, bool) {
	f, ok := r.known.Get(hash)
	return f, ok && r.now().Before(f.until)
}

// look asks the store. Its answer holds from before it was asked.
func (r *KeyVerifier) look(ctx context.Context, hash string) (finding, error) {
	asked := r.now()
	k, now, err := r.store.KeyByHash(ctx, hash)
	if err != nil && !errors.Is(err, apikey.ErrUnknown) {
		return finding{}, err
	}
	f := finding{key: k, valid: err == nil, until: asked.Add(believed)}
	if f.valid && k.ExpiresAt != nil {
		left := k.ExpiresAt.Sub(now)
		f.valid = left > 0
		if f.valid && left < believed {
			f.until = asked.Add(left)
		}
	}
	if f.valid && (k.UsedAt == nil || now.Sub(*k.UsedAt) >= usedEvery) {
		_ = r.store.KeyUsed(ctx, k, now) // the next look tries again
	}
	r.known.Add(hash, f)
	return f, nil
}
