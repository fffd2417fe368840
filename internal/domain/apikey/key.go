// Package apikey defines API keys: the stored record, the secret that a caller sends, and the pepper that protects the
// stored hash.
//
// In: a pepper of the operator, and the text of a secret. Out: records and hashes. The package never stores a key and
// never looks one up: that is internal/store and api/auth.
package apikey

import (
	"errors"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// ErrNotFound means that the API key does not exist. It never existed, or it was revoked.
var ErrNotFound = errors.New("no such API key")

// MaxNameBytes bounds the name of a key.
const MaxNameBytes = 200

// Key is the stored record of an API key, without its secret. Its Firestore document is this struct. Revoking a key
// deletes the document.
type Key struct {
	ID     string         `firestore:"id"`
	Tenant string         `firestore:"tenant"`
	Name   string         `firestore:"name"`
	Scopes []tenant.Scope `firestore:"scopes"`
	Hash   string         `firestore:"hash"` // of the secret, see Pepper.Hash

	CreatedAt  time.Time  `firestore:"createdAt"`
	ExpiresAt  *time.Time `firestore:"expiresAt"`  // nil: never
	LastUsedAt *time.Time `firestore:"lastUsedAt"` // updated at most once an hour; nil: never used
}

// New returns a key and its secret. The caller stores the key and fills in its times.
func New(p Pepper, tenantID, name string, scopes []tenant.Scope) (Key, Secret) {
	secret := p.newSecret()
	return Key{ID: id.New(id.APIKey), Tenant: tenantID, Name: name, Scopes: scopes, Hash: p.Hash(secret)}, secret
}

// Caller returns the caller of a request with this key. It has only scopes that a key may have: the operator's, however
// it came into the document, gives nothing.
func (k Key) Caller() tenant.Caller {
	scopes := slices.DeleteFunc(slices.Clone(k.Scopes), func(s tenant.Scope) bool { return !tenant.ValidScopes(s) })
	return tenant.Caller{Tenant: k.Tenant, Subject: k.ID, Scopes: scopes}
}
