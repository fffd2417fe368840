// Package key is about API keys: what they are, what is kept of them, and who
// a request with one comes from.
package apikey

import (
	"errors"
	"time"

	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// ErrUnknown means that there is no such key, or no longer.
var ErrNotFound = errors.New("no such key")

// MaxName bounds the name of a key, in bytes.
const MaxNameBytes = 200

// Key is what is known of a key: everything but its secret. Its Firestore
// document is this struct. Revoking a key removes the document.
type Key struct {
	ID     string         `firestore:"id"`
	Tenant string         `firestore:"tenant"`
	Name   string         `firestore:"name"`
	Scopes []tenant.Scope `firestore:"scopes"`
	Hash   string         `firestore:"hash"` // of the secret, see Pepper.Hash

	CreatedAt  time.Time  `firestore:"createdAt"`
	ExpiresAt  *time.Time `firestore:"expiresAt"`  // nil: never
	LastUsedAt *time.Time `firestore:"lastUsedAt"` // last, but up to usedEvery before; nil: never yet
}

// New makes a key and its secret. The key is not stored yet.
func New(p Pepper, tenant, name string, scopes []tenant.Scope) (Key, Secret) {
	secret := newSecret()
	return Key{ID: id.New(id.APIKey), Tenant: tenant, Name: name, Scopes: scopes, Hash: p.Hash(secret)}, secret
}

// Caller is who a request with this key comes from.
func (k Key) Caller() tenant.Caller {
	return tenant.Caller{Tenant: k.Tenant, Subject: k.ID, Scopes: k.Scopes}
}
